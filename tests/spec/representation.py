"""Keys of the representation sheet: contrastive, margin, distillation, segmentation."""

from __future__ import annotations

import torch

from lossviz import losses

from .adapters import Call, Inputs, Params, literal


def ar2_ranker(i: Inputs, p: Params, r: str) -> torch.Tensor:
    scores = i["ranker_scores"].double()
    positives = torch.full(scores.shape[:-1], int(i["positive_column"]))
    return losses.cross_entropy(scores, positives, reduction=literal(r))


CALLS: dict[str, Call] = {
    # 2.6 dual encoders for extreme classification
    "multilabel_softmax_sum": lambda i, p, r: losses.cross_entropy(
        i["sim"].double(), i["targets"].double(), reduction=literal(r)
    ),
    # 2.12 AR2
    "ar2_ranker": ar2_ranker,
}
