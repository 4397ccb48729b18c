"""Keys of the dynamics sheet: neural collapse, calibration, entropy."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from lossviz import kernels, losses
from lossviz.experiments import two_pass

from .adapters import Call, Inputs, Params, given, leaf


def symmetric_ce(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    student, teacher = leaf(i["student"]), i["teacher"].double()
    rows = losses.symmetric_ce(student, teacher, reduction="none", **given(p))
    (slope,) = torch.autograd.grad(rows.sum(), student)
    return {"loss": rows, "grad_student_logits": slope}


def brier(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    probabilities, y = i["probs"].double(), i["y"].long()
    classes = probabilities.shape[1]
    logits = probabilities.log()
    score = losses.brier(logits, y)
    top = probabilities.max(1)
    return {
        "multiclass_sum": score,
        "half_convention": score / 2,
        "per_class_mean": score / classes,
        "top_label": (top.values - (top.indices == y).double()).square().mean(),
        "nll": losses.cross_entropy(logits, y),
    }


def z_loss(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits = leaf(i["logits"])
    loss = losses.z_loss(logits, **given(p))
    everything = torch.eye(logits.shape[-1], dtype=torch.float64)
    log_z = kernels.row_statistics(logits, everything, statistics=["lse"]).lse
    return {"loss": loss, "log_z": log_z, "grad": torch.autograd.grad(loss, logits)[0]}


def noisefit(hybrid: Callable[..., torch.Tensor]) -> Call:
    """Cross-entropy of shifted labels, divergences under the mask of labels that are not."""

    def call(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
        names = ("logits_clean", "logits_noisy_1", "logits_noisy_2")
        short = "clean" in i
        clean, *noisy = (i[n].double() for n in (("clean", "noisy1", "noisy2") if short else names))
        labels = i["labels"].long()
        weight = p["lambda_consistency" if short else "lambda"]
        parts = {"temperature": p["temperature"], "alpha": 0.0}
        ce = losses.cross_entropy(clean[:, :-1], labels[:, 1:])
        soft, both = (
            hybrid(clean, *noisy, labels, lambda_consistency=of, **parts) for of in (0.0, 1.0)
        )
        total = p["alpha"] * ce + (1 - p["alpha"]) * soft + weight * (both - soft)
        named = ("soft", "consistency") if short else ("soft_kl", "consistency_kl")
        return {"ce": ce, **dict(zip(named, (soft, both - soft), strict=True)), "total": total}

    return call


def noisefit_noise_scale(i: Inputs, p: Params, r: str) -> torch.Tensor:
    logits = i["logits"].double() if "logits" in i else None
    return losses.noise_scale(i["hidden"].double(), logits, **given(p))


def two_pass_softmax(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The sum as the algorithm holds it is the log-sum-exp in mantissa and power of two."""
    x = i["x"].double()
    log_sum_exp = two_pass.two_pass_log_sum_exp(x)
    exponent = (x.amax(-1) / math.log(2)).round()
    return {
        "softmax": two_pass.two_pass_softmax(x),
        "mantissa_sum": (log_sum_exp - exponent * math.log(2)).exp(),
        "exponent_sum": exponent,
        "log_sum_exp": log_sum_exp,
    }


CALLS: dict[str, Call] = {
    # C4 robust mean teacher
    "symmetric_ce": symmetric_ce,
    # C9 noise-augmented fine-tuning
    "noisefit_hybrid": noisefit(losses.noisefit_hybrid),
    "noisefit_hybrid_v2": noisefit(losses.noisefit_hybrid_v2),
    "noisefit_noise_scale": noisefit_noise_scale,
    # C10 calibration
    "brier": brier,
    # E12 small-scale proxies
    "z_loss": z_loss,
    # E14 softmax numerics
    "two_pass_softmax": two_pass_softmax,
}
