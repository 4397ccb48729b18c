"""Keys of embeddings, scores, tokens and teachers: losses that compare, and their companions."""

from __future__ import annotations

import math
from typing import Any

import torch

from lossviz import losses
from lossviz.losses.embeddings.angular import widened
from lossviz.losses.embeddings.directions import cosines

from .adapters import Call, Inputs, Params, leaf, literal


def nt_xent_guided(i: Inputs, p: Params, r: str) -> torch.Tensor:
    views = torch.cat([i["z1"], i["z2"]]).double()
    labels = i["pseudo_labels"].repeat(2)
    places = torch.arange(len(views))
    partner = places.roll(len(places) // 2)
    left_out = labels == labels[:, None]
    left_out[places, partner] = False
    similarities = cosines(views, views) / p["temperature"]
    return losses.cross_entropy(
        similarities.masked_fill(left_out, -math.inf), partner, reduction=literal(r)
    )


def head(i: Inputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return i["embeddings"].double(), i["class_weights"].double(), i["labels"].long()


def beyond_pi(p: Params) -> str:
    return "none" if p.get("beyond_pi", "none") == "none" else "linear"


def with_target(i: Inputs, own: torch.Tensor, s: float, r: str) -> dict[str, torch.Tensor]:
    """Scaled cosines with `own` in the place of the target's, and their cross-entropy."""
    embeddings, weights, labels = head(i)
    logits = s * cosines(embeddings, weights).scatter(1, labels[:, None], own[:, None])
    return {"loss": losses.cross_entropy(logits, labels, reduction=literal(r)), "logits": logits}


def arcface_loss(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.arcface(
        *head(i), scale=p["s"], margin=p["m"], beyond_pi=beyond_pi(p), reduction=literal(r)
    )


def arcface(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    embeddings, weights, labels = head(i)
    own = widened(embeddings, weights[labels], p["m"], beyond_pi(p))
    return {**with_target(i, own, p["s"], r), "loss": arcface_loss(i, p, r)}


def cosface(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    embeddings, weights, labels = head(i)
    own = cosines(embeddings, weights).gather(1, labels[:, None])[:, 0] - p["m"]
    return with_target(i, own, p["s"], r)


def normalized_softmax(i: Inputs, p: Params, r: str) -> dict[str, Any]:
    """Both sheets have it, under different names."""
    if "features" not in i:
        return arcface(i, {**p, "m": p.get("m", 0.0)}, r)
    features, weights, target = i["features"].double(), i["weights"].double(), i["y"].long()
    s, classes = p["scale"], len(weights)
    return {
        "loss": losses.normalized_softmax(features, weights, target, scale=s, reduction=literal(r)),
        "lower_bound": math.log1p((classes - 1) * math.exp(-s * classes / (classes - 1))),
    }


def arcface_grad(i: Inputs, p: Params, r: str) -> torch.Tensor:
    embeddings = leaf(i["embeddings"])
    loss = arcface_loss({**i, "embeddings": embeddings}, p, "mean")
    return torch.autograd.grad(loss, embeddings)[0]


def decoupled_softmax(i: Inputs, p: Params, r: str) -> torch.Tensor:
    scores, relevance = i["sim"].double(), i["targets"]
    if "then" in p.get("average", "positives then rows"):
        return losses.decoupled_softmax(scores, relevance, reduction=literal(r))
    rows = losses.decoupled_softmax(scores, relevance, reduction="none")
    positives = relevance.sum(1)
    return (rows * positives).sum() / positives.sum()


def pld(i: Inputs, p: Params, r: str) -> torch.Tensor:
    student, teacher, labels = i["student"].double(), i["teacher"].double(), i["labels"].long()
    weights = p.get("weights", "teacher softmax")
    temperature = 1e12 if weights == "uniform" else p.get("temperature", 1.0)
    return losses.pld(student, teacher, labels, temperature=temperature, reduction=literal(r))


def pld_grad(i: Inputs, p: Params, r: str) -> torch.Tensor:
    student = leaf(i["student"])
    return torch.autograd.grad(pld({**i, "student": student}, p, "mean"), student)[0]


def dpo(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    answers = ("policy_chosen_logp", "policy_rejected_logp", "ref_chosen_logp", "ref_rejected_logp")
    chosen, rejected, ref_chosen, ref_rejected = (i[name].double() for name in answers)
    beta, free = p["beta"], 0.0 if p.get("reference_free") else 1.0
    lead = (chosen - rejected) - free * (ref_chosen - ref_rejected)
    if p.get("ipo"):
        loss = (lead - 1 / (2 * beta)).square()
    else:
        loss = losses.dpo(
            chosen, rejected, free * ref_chosen, free * ref_rejected,
            beta=beta, label_smoothing=p.get("label_smoothing", 0.0), reduction="none",
        )  # fmt: skip
    return {
        "loss": loss if r in ("none", "per pair") else getattr(loss, literal(r))(),
        "reward_chosen": beta * (chosen - ref_chosen),
        "reward_rejected": beta * (rejected - ref_rejected),
        "margin": lead,
    }


def eisl(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits, target = i["logits"].double(), i["target"].long()
    weights = p.get("weights", "equal")
    loss = losses.eisl(
        logits,
        target,
        ngrams=tuple(p["ngrams"]),
        temperature=p["tau"],
        log_prob_floor=p["log_prob_floor"],
        weights=None if weights == "equal" else weights,
        reduction=literal(r),
    )
    if logits.shape[1] != target.shape[1]:
        return {"loss": loss}
    return {"loss": loss, "token_ce_mean": losses.cross_entropy(logits, target)}


CALLS: dict[str, Call] = {
    "nt_xent": lambda i, p, r: losses.nt_xent(
        i["z1"].double(), i["z2"].double(), temperature=p["temperature"], reduction=literal(r)
    ),
    "nt_xent_guided": nt_xent_guided,
    "decoupled_softmax": decoupled_softmax,
    "arcface": arcface,
    "arcface_grad": arcface_grad,
    "arcface_grad_finite": lambda i, p, r: {
        "required_has_nan": bool(arcface_grad(i, p, r).isnan().any())
    },
    "cosface": cosface,
    "normalized_softmax": normalized_softmax,
    "pld": pld,
    "pld_grad": pld_grad,
    "dpo": dpo,
    # the constant that its other part leaves out is not in the sheet
    "kl_regularised_optimum": lambda i, p, r: {
        "policy": (i["ref"].double().log() + i["reward"].double() / p["beta"]).softmax(-1)
    },
    "eisl": eisl,
}
