"""Linear cross-entropy without its logits: exact, per row, on CPU and GPU.

`linear_cross_entropy` is the loss of a linear layer's softmax; `row_statistics` is what lies under
it, and what calibration, temperature and entropy of a large head are computed from; `plan` says
what a call will cost. Importing this needs neither a GPU nor triton.
"""

from __future__ import annotations

from .filtered import FilteredLoss, filtered_linear_cross_entropy
from .functional import linear_cross_entropy, row_statistics
from .modules import LinearCrossEntropyLoss
from .parallel import VocabularyShard
from .planning import Plan, plan
from .row_losses import ROW_LOSSES
from .statistics import STATISTICS, RowStatistics

__all__ = [
    "ROW_LOSSES",
    "STATISTICS",
    "FilteredLoss",
    "LinearCrossEntropyLoss",
    "Plan",
    "RowStatistics",
    "VocabularyShard",
    "filtered_linear_cross_entropy",
    "linear_cross_entropy",
    "plan",
    "row_statistics",
]
