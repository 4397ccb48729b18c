"""Keys of the calibration part of the dynamics sheet."""

from __future__ import annotations

import numpy as np
import torch

from lossviz import losses, theory
from lossviz.analysis import (
    attempts,
    binned,
    confidence,
    correctness,
    probability,
    scaling,
    scores,
    sequences,
    smooth,
)
from lossviz.losses import cross_entropy

from .adapters import Call, Inputs, Params


def top(i: Inputs) -> confidence.Confidence:
    return confidence.top_label(i["probs"].double(), i["y"].long(), kind="probabilities")


def gaps(c: torch.Tensor, a: torch.Tensor, edges: torch.Tensor, closed: str) -> binned.Bins:
    sums = binned.sums_in_bins(c, a, edges, closed=closed)
    return binned.Bins(*(part[sums.rows > 0] for part in sums))


def errors(sums: binned.Bins) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean gap, the root mean square gap and the largest one."""
    size = sums.gap.abs()
    return (
        (sums.share * size).sum(), (sums.share * size.square()).sum().sqrt(), size.max()
    )  # fmt: skip


def ece(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """Other libraries differ in the dtype of the edges and in where 0 and 1 are put."""
    c, a = top(i)
    bins = p["n_bins"]
    single = torch.linspace(0, 1, bins + 1, dtype=torch.float32)[1:]
    theirs = errors(gaps(c.float(), a, single, "left"))
    uneven = torch.from_numpy(np.linspace(0, 1, bins + 1)[1:-1])
    netcal = gaps(c, a, uneven, "left")
    inside = c > 0
    guo = gaps(c[inside], a[inside], uneven, "right")
    return {
        "torchmetrics_l1": theirs[0],
        "torchmetrics_l2": theirs[1],
        "torchmetrics_max": theirs[2],
        "netcal_ece": errors(netcal)[0],
        "netcal_mce": errors(netcal)[2],
        "netcal_ace": netcal.gap.abs().mean(),
        "guo_right_closed": errors(guo)[0] * inside.double().mean(),  # Guo drops a 0
    }


def ece_mass(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    c, a = top(i)
    bins = p["n_bins"]
    order = c.argsort(stable=True)
    parts = zip(c[order].tensor_split(bins), a[order].tensor_split(bins), strict=True)
    split = binned.Bins(
        *map(torch.stack, zip(*((torch.tensor(len(x)), x.sum(), y.double().sum())
                                for x, y in parts if len(x)), strict=True))
    )  # fmt: skip
    quantiles = torch.from_numpy(np.quantile(c.numpy(), np.linspace(0, 1, bins + 1)[1:-1]))
    l1, l2, largest = errors(split)
    return {
        "torch_uncertainty_l1": l1,
        "torch_uncertainty_l2": l2,
        "torch_uncertainty_max": largest,
        "verified_calibration_em": smooth.ece_equal_mass(c, a, bins=bins),
        "netcal_quantile": errors(gaps(c, a, quantiles.unique(), "left"))[0],
    }


def classwise_ece(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """One-vs-rest, closed on the left with 1 in a bin of its own, in single precision."""
    chances, hits = confidence.every_class(i["probs"].double(), i["y"].long(), kind="probabilities")
    edges = torch.linspace(0, 1, p["n_bins"] + 1, dtype=torch.float32)[1:]
    columns = zip(chances.float().unbind(-1), hits.unbind(-1), strict=True)
    each = torch.stack([errors(gaps(c, a, edges, "left"))[0] for c, a in columns])
    return {"per_class": each, "mean": each.mean()}


def debiased_l2_ce(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    c, a = i["conf"].double(), i["correct"].long()
    found = smooth.squared_calibration_error(c, a, bins=p["n_bins"])
    edges = binned.equal_mass(c, p["n_bins"])
    return {
        "unbiased_square": found.debiased,
        "unbiased_l2": found.debiased.clamp_min(0).sqrt(),
        "plugin_l2": found.plugin.sqrt(),
        "bin_edges": torch.cat([edges, torch.ones(1).double()]),
    }


def of_confidences(function) -> Call:
    def call(i: Inputs, p: Params, r: str):
        return function(i["conf"].double(), i["correct"].long(), bandwidth=p["bandwidth"])

    return call


def smece(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    return {"reflected_exact": of_confidences(smooth.smooth_ece)(i, p, r)}


def brier_decomposition(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = scores.brier_decomposition(i["probs"].double(), i["y"].long(), kind="probabilities")
    named = found._asdict()
    return {name: named[name] for name in ("reliability", "resolution", "uncertainty", "brier")}


def temperature_scaling(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    z, y = i["logits"].double(), i["y"].long()
    fitted = scaling.TemperatureScaling().fit(z, y)
    return {
        "T": fitted.parameters["temperature"],
        "nll_before": cross_entropy(z, y),
        "nll_after": cross_entropy(fitted.transform(z), y),
    }


def scaled(make: type[scaling.VectorScaling]) -> Call:
    def call(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
        z, y = i["logits"].double(), i["y"].long()
        options = {"bias_penalty": p["bias_reg"]}
        if issubclass(make, scaling.MatrixScaling):
            options["off_diagonal_penalty"] = p["off_diag_reg"]
        fitted = make(**options).fit(z, y)
        penalty = p["bias_reg"] * fitted.parameters["bias"].square().mean()
        if issubclass(make, scaling.MatrixScaling):
            off = ~torch.eye(z.shape[-1], dtype=torch.bool)
            penalty = penalty + p["off_diag_reg"] * (
                fitted.parameters["weight"][off].square().mean()
            )
        value = cross_entropy(fitted.transform(z), y) + penalty
        return {"nll_init": cross_entropy(z, y), "objective": value}

    return call


def fitted(make) -> Call:
    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        chance, truth = i["p"].double(), i["y"].long()
        options = {"bins": p["n_bins"]} if "n_bins" in p else {}
        if p.get("rule") == "(lo,hi]":
            options["closed"] = "right"
        return make(**options).fit(chance, truth).transform(chance)

    return call


def beta_calibration(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    calibrated = fitted(probability.BetaCalibration)(i, p, r)
    truth = i["y"].double()
    nll = torch.nn.functional.binary_cross_entropy(calibrated, truth)
    return {"nll": nll, "calibrated": calibrated}


def g_nll(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    steps = i["step_logprobs"].double()
    total = sequences.greedy_nll(steps)
    return {"g_nll": total, "length_normalised": total / len(steps), "msp": (-total).exp()}


def llr_ood(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    ratio = sequences.likelihood_ratio(i["logp_pretrained"].double(), i["logp_finetuned"].double())
    return {"lr": ratio.total, "nlr": ratio.mean}


def dc_pdd(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    tokens, logp = i["token_ids"].long(), i["logprobs"].double()
    score = sequences.dc_pdd(tokens, logp, i["reference_counts"], clip=p["a"])
    return {"score": score, "official_sign": -score}


def resampling_reward(i: Inputs, p: Params, r: str) -> dict[str, object]:
    found = attempts.resampling_reward(
        i["r"], i["prior"], attempts=p["K"], completeness=p["completeness"],
        soundness=p["soundness"], value_correct=p["V_correct"], value_fluke=p["V_fluke"],
    )  # fmt: skip
    return {"exact": found.reward, "k_opt": found.best}


def dco(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logp = torch.as_tensor(i["p"]).double().log().requires_grad_()
    loss = losses.dco(logp, attempts=p["N"], reduction="sum")
    (slope,) = torch.autograd.grad(loss, logp)
    return {"loss": loss, "factor": -slope, "ce": -logp.detach()}


def dco_surrogate(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The mean over the tokens that come next, times the factor of the whole answer."""
    rows = []
    for logits, labels in zip(i["logits"].double()[:, :-1], i["labels"].long()[:, 1:], strict=True):
        nll = losses.cross_entropy(logits, labels)
        total = -losses.cross_entropy(logits, labels, reduction="sum")
        factor = dco({"p": total.exp()}, p, r)["factor"]
        rows.append(nll * factor)
    return torch.stack(rows)


def ca_loss(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits, y = i["logits"].double() / i["temperature"].double()[:, None], i["y"].long()
    balanced = losses.ca_loss(logits, y, balanced=True)  # 0/0 if all are right or all wrong
    return {"plain": losses.ca_loss(logits, y), "balanced": None if balanced.isnan() else balanced}


CALLS: dict[str, Call] = {
    "ca_loss": ca_loss,
    "ca_features": lambda i, p, r: correctness.ca_features(i["view_probs"].double(), top=p["k"]),
    "dco": dco,
    "dco_surrogate": dco_surrogate,
    "ece": ece,
    "ece_mass": ece_mass,
    "classwise_ece": classwise_ece,
    "debiased_l2_ce": debiased_l2_ce,
    "kde_ece": of_confidences(smooth.kde_ece),
    "smece": smece,
    "brier_decomposition": brier_decomposition,
    "temperature_scaling": temperature_scaling,
    "vector_scaling": scaled(scaling.VectorScaling),
    "matrix_scaling": scaled(scaling.MatrixScaling),
    "dirichlet_scaling": scaled(scaling.DirichletScaling),
    "isotonic": fitted(probability.IsotonicCalibration),
    "histogram_binning": fitted(probability.HistogramBinning),
    "beta_calibration": beta_calibration,
    "g_nll": g_nll,
    "llr_ood": llr_ood,
    "dc_pdd": dc_pdd,
    "pass_at_k_unbiased": lambda i, p, r: attempts.pass_at_k(p["n"], p["c"], p["k"]),
    "pass_at_n": lambda i, p, r: attempts.pass_at_n(i["p"].double(), p["N"]).mean(),
    "resampling_ceiling": lambda i, p, r: theory.resampling_ceiling(
        i["r"].double(), completeness=p["completeness"], soundness=p["soundness"]
    ),
    "resampling_reward": resampling_reward,
}
