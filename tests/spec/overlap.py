"""Keys of masks, of ordered and unbalanced classes, of predicted variances, and of closed laws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lossviz import losses, theory

from .adapters import Call, Inputs, Params, given, literal


def elementwise(loss: str) -> Call:
    return lambda i, p, r: getattr(losses, loss)(
        i["p_pos"].double(), i["y"], reduction=literal(r), **given(p)
    )


def self_adjusting(p: torch.Tensor, alpha: float) -> torch.Tensor:
    return (1 - p) ** alpha * p


def dice_of_a_batch(i: Inputs, p: Params, r: str) -> torch.Tensor:
    positive = self_adjusting(i["logits"].double().sigmoid(), p["alpha"])
    return losses.dice(
        positive[None], i["y"][None], smooth=p["smooth"], squared=p["square_denominator"]
    )


def dice_of_classes_as_published(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The intersection of each example over a denominator of the whole batch, unless squared."""
    truth = F.one_hot(i["target"], i["logits"].shape[-1]).double()
    soft = self_adjusting(i["logits"].double().softmax(-1), p["alpha"])
    areas = soft**2 + truth if p["square_denominator"] else (soft + truth).sum(0)
    smooth = p["smooth"]
    return (1 - (2 * soft * truth + smooth) / (areas + smooth)).sum(-1)


def best_positive(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """Where the slope of the loss of a positive example is 0, by bisection."""
    alpha = i["alpha"].double()

    def slope(place: torch.Tensor, power: float) -> float:
        place = place.clone().requires_grad_()
        loss = losses.dsc_elementwise(place, torch.tensor(True), alpha=power, gamma=p["gamma"])
        return torch.autograd.grad(loss, place)[0].item()

    found = []
    for power in alpha.tolist():
        low, high = torch.tensor([0.0, 1.0], dtype=torch.float64)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle, power) < 0 else (low, middle)
        found.append(low)
    return torch.stack(found)


def soft_cldice(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.soft_cldice(
        i["pred"].double(), i["target"], pooled=True,
        smooth=p.get("smooth", 1.0), skeleton_iterations=p.get("skeleton_iterations", 10),
    )  # fmt: skip


def dice_cldice(i: Inputs, p: Params, r: str) -> torch.Tensor:
    smooth = p.get("smooth", 1.0)
    dice = losses.dice(i["pred"].double(), i["target"], smooth=smooth, pooled=True)
    return (1 - p["alpha"]) * dice + p["alpha"] * soft_cldice(i, p, r)


def topomortar_cldice(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """Minus Dice over all classes, beside clDice of the foreground."""
    soft = i["logits"].double().softmax(1)
    truth = F.one_hot(i["target"], 2).movedim(-1, 1)
    dice = losses.dice(soft, truth, smooth=1e-5) - 1
    of_lines = soft_cldice({"pred": soft[:, 1], "target": truth[:, 1]}, p, r)
    return (1 - p["alpha"]) * dice + p["alpha"] * of_lines


def ordinal_softmax(i: Inputs, p: Params, r: str) -> torch.Tensor:
    above = F.pad(F.pad(i["logits"].double().sigmoid(), (1, 0), value=1.0), (0, 1))
    return above[..., :-1] - above[..., 1:]


def ensemble_nll(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    means, variances, y = i["means"].double(), i["vars"].double(), i["y"].double()
    mean, spread = means.mean(0), means.var(0, correction=0)
    each = losses.gaussian_nll(means, y.expand_as(means), variances, full=True, reduction="none")
    return {
        "mean": mean,
        "aleatoric": variances.mean(0),
        "epistemic": spread,
        "mixture_nll": math.log(len(means)) - (-each).logsumexp(0),
        "moment_matched_nll": losses.gaussian_nll(
            mean, y, variances.mean(0) + spread, full=True, reduction="none"
        ),
    }


def perturbed_line_nll(i: Inputs, p: Params, r: str) -> torch.Tensor:
    s = i["s"].double()
    noise = torch.full_like(s, p["sigma_tilde"])
    return losses.gaussian_nll(
        torch.zeros_like(s), noise, s**2, full=True, eps=1e-300, reduction="none"
    )


CALLS: dict[str, Call] = {
    "balanced_softmax_ce": lambda i, p, r: losses.balanced_softmax_ce(
        i["logits"].double(), i["target"], i["class_counts"], reduction=literal(r)
    ),
    "ordinal_cross_entropy": lambda i, p, r: losses.ordinal_cross_entropy(
        i["logits"].double(), i["target"], reduction=literal(r)
    ),
    "ordinal_softmax": ordinal_softmax,
    "ordinal_label": lambda i, p, r: (i["logits"].double().sigmoid() > p["threshold"]).sum(-1),
    "gaussian_nll": lambda i, p, r: losses.gaussian_nll(
        i["mean"].double(), i["y"].double(), i["var"].double(), reduction=literal(r), **given(p)
    ),
    "ensemble_nll": ensemble_nll,
    "perturbed_line_nll": perturbed_line_nll,
    "dsc_elementwise": elementwise("dsc_elementwise"),
    "tversky_elementwise": elementwise("tversky_elementwise"),
    "self_adj_dice_gold": lambda i, p, r: losses.dsc_elementwise(
        i["logits"].double().softmax(-1).gather(-1, i["target"][:, None])[:, 0],
        torch.ones_like(i["target"]), reduction=literal(r), **given(p),
    ),
    "dsc_optimal_p_positive": best_positive,
    "dice_batch_binary_official": dice_of_a_batch,
    "dice_multiclass_official": dice_of_classes_as_published,
    "soft_skeleton": lambda i, p, r: losses.soft_skeleton(
        i["image"].double(), iterations=p["skeleton_iterations"]
    ),
    "soft_cldice": soft_cldice,
    "dice_cldice": dice_cldice,
    "topomortar_cldice": topomortar_cldice,
    "pn_leading_term": lambda i, p, r: torch.stack(
        [
            theory.pn_leading_term(n, p=size)
            for size, n in zip(i["p"].tolist(), i["n"].double(), strict=True)
        ]
    ),
    "mle_kl_risk_gaussian_mean_misspecified": lambda i, p, r: (
        theory.mle_kl_risk_gaussian_mean_misspecified(i["n"].double(), **given(p))
    ),
}  # fmt: skip
