"""Keys of the dynamics sheet: neural collapse, calibration, entropy."""

from __future__ import annotations

import math

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
    everything = torch.eye(logits.shape[-1], dtype=torch.float64)
    log_z = kernels.row_statistics(logits, everything, statistics=["lse"]).lse
    loss = p["coefficient"] * log_z.square().mean()
    return {"loss": loss, "log_z": log_z, "grad": torch.autograd.grad(loss, logits)[0]}


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
    # C10 calibration
    "brier": brier,
    # E12 small-scale proxies
    "z_loss": z_loss,
    # E14 softmax numerics
    "two_pass_softmax": two_pass_softmax,
}
