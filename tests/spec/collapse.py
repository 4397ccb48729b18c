"""Keys of the collapse part of the dynamics sheet, which centres on the mean of all rows.

The losses of its dual heads, projections and prototypes are here under the names of all sheets.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from lossviz import losses
from lossviz.analysis import collapse, conflict, geometry, neighbours
from lossviz.theory import (
    cross_entropy_optimum,
    squared_error_optimum,
    squared_error_optimum_with_bias,
)

from .adapters import Call, Inputs, Params, leaf

CENTRE = "samples"


def statistics(i: Inputs) -> collapse.ClassStatistics:
    return collapse.class_statistics(i["H"].double(), i["y"].long(), classes=int(i["y"].max()) + 1)


def of_statistics(function) -> Call:
    return lambda i, p, r: function(i["W"].double(), statistics(i))


def of_means(i: Inputs) -> collapse.ClassStatistics:
    means = i["class_means"].double()
    return collapse.ClassStatistics(
        torch.ones(len(means)).long(), means, means.new_zeros(1), means.new_zeros(1)
    )


def general(function) -> Call:
    """With the squared lengths of the imbalanced theorem."""

    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        best = squared_error_optimum(
            p["n"], depth=p["depth"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"]
        )
        decay = sum(p["n"]) * p["lambda_H"]
        return function(i["W"].double(), of_means(i), best, decay)

    return call


def ufm_mse_optimum(i: Inputs, p: Params, r: str) -> dict[str, object]:
    best = squared_error_optimum(
        p["n"], depth=p["depth"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"]
    )
    names = ("b", "threshold", "x", "w_norm", "h_norm", "wh", "objective")
    return dict(zip(names, best, strict=True))


def ufm_mse_bias_optimum(i: Inputs, p: Params, r: str) -> dict[str, object]:
    best = squared_error_optimum_with_bias(
        p["K"], p["n"], depth=p.get("depth", 1), lambda_w=p["lambda_W"], lambda_h=p["lambda_H"]
    )
    classes = p["K"]
    square = best.weight_norm**2 * classes / (classes - 1)
    centring = torch.eye(classes, dtype=torch.float64) - 1 / classes
    bias = torch.full((classes,), best.bias, dtype=torch.float64)
    return {"sigma_sq": square, "WWt": square * centring, "bias": bias}


def ufm_ce_optimum(i: Inputs, p: Params, r: str) -> dict[str, float]:
    best = cross_entropy_optimum(p["K"], p["n"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"])
    return dict(zip(("gamma", "w_norm", "h_norm", "loss"), best, strict=True))


def alpha_req(i: Inputs, p: Params, r: str) -> torch.Tensor:
    window = p["index_range_0based"]
    return geometry.power_law(i["eigen"].double(), ranks=(window[0] + 1, window[-1] + 1))


def rankme_cov(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, centred = i["features"].double(), p.get("center", True)
    return {
        "rankme": geometry.covariance_rank(x, centred=centred, eps=p["eps"]),
        "eigen_ratio": geometry.spectrum(x, centred=centred),
    }


def dse(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return geometry.diffusion_entropy(i["X"].double(), sigma=p["sigma"], steps=p["t"])


def dse_row_stochastic(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, options = i["X"].double(), {"sigma": p["sigma"], "steps": p["t"]}
    return {
        "anisotropic_P": geometry.diffusion_entropy(x, normalised="anisotropic", **options),
        "official_K": geometry.diffusion_entropy(x, **options),
    }


def dsmi(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return geometry.diffusion_information(
        i["X"].double(), i["y"].long(), sigma=p["sigma"], steps=p["t"],
        repeats=p["num_repetitions"], seed=p["random_seed"],
    )  # fmt: skip


def of_two_models(loss: Callable[..., torch.Tensor]) -> Call:
    return lambda i, p, r: loss(
        i["student"].double(), i["teacher"].double(), temperature=p["temperature"]
    )


def binary_kl_norm(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """With form "clamped", the authors' sigmoid that stops at a smallest number."""
    student, teacher, t = i["student"].double(), i["teacher"].double(), p["temperature"]
    if p.get("form") != "clamped":
        return losses.binary_kl_norm(student, teacher, temperature=t)
    heads, tails = (((s * (student - teacher)) / t).sigmoid() for s in (1, -1))
    logs = heads.clamp_min(p["eps"]).log() + tails.clamp_min(p["eps"]).log()
    return -(t**2) * (logs / 2 + math.log(2)).sum(-1).mean()


def dhkd_total(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.dual_head(
        i["main_head_logits"].double(), i["aux_head_logits"].double(), i["teacher"].double(),
        i["labels"].long(), alpha=p["alpha"], gamma=p["gamma"], temperature=p["temperature"],
    )  # fmt: skip


def tempered_kl(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    student, teacher = i["student"].double(), i["teacher"].double()
    apart = student - teacher
    apart = apart - apart.mean(-1, keepdim=True)
    return {
        "loss": losses.tempered_kl(student, teacher, temperature=p["T"]),
        "high_T_limit": apart.square().mean(-1).mean() / 2,
    }


def head_gradient_conflict(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    weight, features = i["W"].double(), i["h"].double().reshape(1, -1)
    logits, teacher = leaf(features @ weight.mT), i["teacher_logits"].double().reshape(1, -1)
    target = torch.as_tensor(i["y"]).reshape(1)
    values = (
        losses.cross_entropy(logits, target),
        losses.binary_kl_norm(logits, teacher, temperature=p["temperature"]),
    )
    one, other = (torch.autograd.grad(value, logits)[0] for value in values)
    cosines = conflict.gradient_conflict(weight, features, one, other)
    return {
        "cos_head": cosines.head, "cos_backbone": cosines.backbone,
        "logit_grad_ce": one[0], "logit_grad_kd": other[0],
    }  # fmt: skip


def grad_align(i: Inputs, p: Params, r: str) -> torch.Tensor:
    leading, other = i["g_ce"].double(), i["g_kd"].double()
    return leading + conflict.without_conflict(other, leading)


def opl(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The authors add 1e-6 to the numbers of pairs."""
    features, y = i["features"].double(), i["y"].long()
    same = y[:, None] == y
    pairs = [same.sum() - len(y), (~same).sum()]
    within = 1 - losses.opl(features, y, gamma=0.0)
    across = losses.opl(features, y, gamma=1.0) - 1 + within
    within, across = (
        mean * count / (count + 1e-6) for mean, count in zip((within, across), pairs, strict=True)
    )
    return {
        "loss": 1 - within + p["gamma"] * across, "pos_mean": within, "neg_mean": across
    }  # fmt: skip


def proto_triplet(i: Inputs, p: Params, r: str) -> torch.Tensor:
    order = {int(label): row for row, label in enumerate(i["y_proto"])}
    target = torch.tensor([order[int(label)] for label in i["y_query"]])
    return losses.proto_triplet(
        i["queries"].double(), i["prototypes"].double(), target, margin=p["margin"]
    )


def icnn_score(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, y = i["features"].double(), i["y"].long()
    options = {"k": p.get("k", 4), "rivals": p.get("ipc")}
    names = ("score", "lambda_same", "lambda_diff", "gamma")
    found = dict(zip(names, neighbours.icnn_score(x, y, **options), strict=True))
    return {**found, "loss": losses.icnn(x, y, **options)}


CALLS: dict[str, Call] = {
    "dhkd_bkl_norm": binary_kl_norm,
    "binary_kl_norm": binary_kl_norm,
    "dhkd_bkl": of_two_models(losses.binary_kl),
    "binary_kl": of_two_models(losses.binary_kl),
    "kd": of_two_models(losses.tempered_kl),
    "kd_kl": of_two_models(losses.tempered_kl),
    "tempered_kl": tempered_kl,
    "dhkd_total": dhkd_total,
    "grad_align": grad_align,
    "head_gradient_conflict": head_gradient_conflict,
    "opl": opl,
    "proto_triplet": proto_triplet,
    "icnn_score": icnn_score,
    "nc1": of_statistics(lambda w, s: collapse.nc1(s, centre=CENTRE)),
    "nc2_etf_W": of_statistics(lambda w, s: collapse.nc2_of_weight(w)),
    "nc2_of_W": of_statistics(lambda w, s: collapse.nc2_of_weight(w, "orthogonal")),
    "nc2_etf_H": of_statistics(lambda w, s: collapse.nc2(s, centre=CENTRE)),
    "nc2_of_H": of_statistics(lambda w, s: collapse.nc2(s, "orthogonal")),
    "nc3_etf_WH": of_statistics(lambda w, s: collapse.nc3(w, s, centre=CENTRE)),
    "nc3_of_WH": of_statistics(lambda w, s: collapse.nc3(w, s, "orthogonal")),
    "nc3_W_minus_H": of_statistics(lambda w, s: collapse.nc3_distance(w, s, centre=None)),
    "nc3_W_minus_H_centered": of_statistics(
        lambda w, s: collapse.nc3_distance(w, s, centre=CENTRE)
    ),
    "nc2_gof_W": general(lambda w, s, best, _: collapse.nc2_of_weight(w, best.weight_norm**2)),
    "nc2_gof_H": general(lambda w, s, best, _: collapse.nc2(s, best.feature_norm**2)),
    "nc3_gof_WH": general(lambda w, s, best, _: collapse.nc3(w, s, best.product)),
    "nc3_gof_W_minus_H": general(
        lambda w, s, best, decay: collapse.nc3_distance(
            w, s, centre=None, scale=best.weight_norm**2 + decay
        )
    ),
    "ufm_mse_optimum": ufm_mse_optimum,
    "ufm_mse_bias_optimum": ufm_mse_bias_optimum,
    "ufm_ce_optimum": ufm_ce_optimum,
    "rankme_cov": rankme_cov,
    "rankme_sv": lambda i, p, r: geometry.rankme(
        i["features"].double(), centred=p.get("center", False), eps=p["eps"]
    ),
    "alpha_req": alpha_req,
    "dse": dse,
    "dse_row_stochastic": dse_row_stochastic,
    "dsmi": dsmi,
    "cse": lambda i, p, r: geometry.cell_entropy(i["X"].double(), bins=p["num_bins_per_dim"]),
}
