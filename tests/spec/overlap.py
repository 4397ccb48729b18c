"""Keys of masks, of ordered and unbalanced classes, of predicted variances, and of closed laws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lossviz import analysis, losses, theory

from .adapters import Call, Inputs, Params, given, literal, reduced


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


def pairs_of_thresholds(target: torch.Tensor, thresholds: int) -> torch.Tensor:
    """How many thresholds the examples have a word on, which the one package divides by."""
    return (target + 1).clamp_max(thresholds).sum()


def corn_in_torch(i: Inputs, p: Params, r: str) -> torch.Tensor:
    logits, target = i["logits"].double(), i["target"].long()
    total = losses.corn(logits, target, reduction="sum")
    return total / pairs_of_thresholds(target, logits.shape[-1])


def corn_in_tensorflow(i: Inputs, p: Params, r: str) -> torch.Tensor:
    logits, target = i["logits"].double(), i["target"].long()
    rows = losses.corn(logits, target, reduction="none") / (logits.shape[-1] + 1)
    return reduced(rows, r)


def numbers(i: Inputs, *names: str) -> list[torch.Tensor]:
    """Predictions and values that come in columns, as rows of numbers."""
    return [i[name].double().flatten() for name in names]


def balanced_by_mixture(means: str, weights: str, variances: str | None = None) -> Call:
    """Buckets are a mixture without variance."""

    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        prediction, y, centres, shares = numbers(i, "pred", "target", means, weights)
        spread = torch.zeros_like(centres) if variances is None else i[variances].double().flatten()
        return losses.gai_loss(
            prediction, y, centres, shares, spread, reduction=literal(r), **given(p)
        )

    return call


def without_pairs(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """As published by mistake: no pairs are made, and places serve as soft labels."""
    prediction, y = numbers(i, "pred", "target")
    double = 2 * p["noise_sigma"] ** 2
    logits = -(prediction - y).square() / double
    return -double * (torch.arange(len(y)) * logits.log_softmax(0)).sum()


def focal_tversky(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.focal_tversky(i["pred"].double(), i["target"], pooled=True, **given(p))


def foreground(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().softmax(1)[:, 1:]


def skeleton_recall(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """Minus the recall, over foreground classes."""
    soft = foreground(i["logits"])
    pooled = p.get("batch_dice", False)
    skeletons = torch.stack([i["skeleton_labels"] == c + 1 for c in range(soft.shape[1])], 1)
    missed = [
        losses.skeleton_recall(
            soft[:, c], skeletons[:, c], smooth=p.get("smooth", 1e-5), pooled=pooled
        )
        for c in range(soft.shape[1])
    ]
    return torch.stack(missed).mean() - 1


def ce_dice(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """Cross-entropy and minus Dice over all classes, each class with its weight."""
    logits, target = i["logits"].double(), i["target"].long()
    classes = logits.shape[1]
    weights = torch.tensor(p.get("class_weights", 1.0), dtype=torch.float64).expand(classes)
    floor = math.log(p.get("log_eps", 1e-15))
    nll = losses.cross_entropy(logits.movedim(1, -1), target, reduction="none")
    nll = -torch.logaddexp(-nll, nll.new_tensor(floor))
    soft, truth = logits.softmax(1), F.one_hot(target, classes).movedim(-1, 1)
    overlap = losses.dice(soft, truth, smooth=p.get("smooth", 1e-5), reduction="none") - 1
    parts = {"ce": (weights[target] * nll).mean(), "dice": (weights * overlap.mean(0)).mean()}
    loss = p.get("lambda_ce", 1.0) * parts["ce"] + p.get("lambda_dice", 1.0) * parts["dice"]
    return {**parts, "loss": loss}


def aoc(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The area over the curve, of all entries against those that are right."""
    sim = i["sim"].double()
    return 1 - analysis.auroc(sim, positives(i))


def positives(i: Inputs) -> torch.Tensor:
    """The diagonal of the first columns, unless there is a matrix of them."""
    given = i.get("positives", i.get("targets"))
    sim = i["sim"]
    return (
        given != 0 if isinstance(given, torch.Tensor) else torch.eye(*sim.shape, dtype=torch.bool)
    )


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
    "corn_ordinal_softmax": lambda i, p, r: losses.corn_probabilities(i["logits"].double()),
    "corn_loss_tf": corn_in_tensorflow,
    "corn_loss_pytorch": corn_in_torch,
    "bmc_loss": lambda i, p, r: losses.bmc_loss(
        *numbers(i, "pred", "target"), reduction=literal(r), **given(p)
    ),
    "bmc_loss_circuitgcl_as_coded": without_pairs,
    "gai_loss": balanced_by_mixture("gmm_means", "gmm_weights", "gmm_variances"),
    "bni_loss": balanced_by_mixture("bucket_centers", "bucket_weights"),
    "focal_tversky": focal_tversky,
    "skeleton_recall": skeleton_recall,
    "ce_dice": ce_dice,
    "aoc": aoc,
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
