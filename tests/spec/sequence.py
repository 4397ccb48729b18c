"""Keys of the sequence sheet: tokens, preference, unlearning, generation, scaling laws."""

from __future__ import annotations

import math
from typing import Any

import torch

from lossviz import losses

from .adapters import Call, Inputs, Params, literal


def next_token_nll(logits: torch.Tensor, labels: torch.Tensor, **options: Any) -> torch.Tensor:
    """Cross-entropy (B, T - 1) of each place with the label of the next one."""
    return losses.cross_entropy(logits[:, :-1].double(), labels[:, 1:].long(), **options)


def sequence_logp(i: Inputs, p: Params, r: str) -> torch.Tensor:
    nll = next_token_nll(i["logits"], i["labels"], reduction="none", ignore_index=p["ignore_index"])
    if not p["average"]:
        return -nll.sum(1)
    return -nll.sum(1) / (i["labels"][:, 1:] != p["ignore_index"]).sum(1)


def of_distributions(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """Cross-entropy of q under p, whose least value is the entropy of p."""
    truth, model = i["p"].double(), i["q"].double()
    cross = losses.cross_entropy(model.log(), truth, reduction="none")
    entropy = losses.cross_entropy(truth.log(), truth, reduction="none")
    return {"ce": cross, "entropy": entropy, "kl": cross - entropy}


def soft_cross_entropy(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits, target = i["logits"].double(), i["target_probs"].double()
    cross = losses.cross_entropy(logits, target, reduction=literal(r))
    entropy = losses.cross_entropy(target.log(), target, reduction=literal(r))
    return {"ce": cross, "kl": cross - entropy, "entropy_target": entropy}


def uniform_retain(i: Inputs, p: Params, r: str) -> torch.Tensor:
    logits = i["logits"].double()
    classes = logits.shape[-1]
    uniform = torch.full_like(logits, 1 / classes)
    return losses.cross_entropy(logits, uniform) - math.log(classes)


def masked_denoising_ce(i: Inputs, p: Params, r: str) -> torch.Tensor:
    target = i["tokens"].long().masked_fill(i["masked"] == 0, -100)
    return losses.cross_entropy(i["logits_at_places"].double(), target)


CALLS: dict[str, Call] = {
    # 1.3 soft targets
    "soft_cross_entropy": soft_cross_entropy,
    "label_smoothing_ce": lambda i, p, r: losses.cross_entropy(
        i["logits"].double(), i["y"].long(), label_smoothing=p["eps"], reduction=literal(r)
    ),
    # 1.5 reversal curse
    "masked_denoising_ce": masked_denoising_ce,
    # 2.1 DPO
    "sequence_logp": sequence_logp,
    # 3 unlearning
    "gradient_ascent": lambda i, p, r: -next_token_nll(i["logits"], i["labels"]),
    "uniform_retain": uniform_retain,
    # 4.4 the principles of diffusion models
    "ce_equals_entropy_plus_kl": of_distributions,
}
