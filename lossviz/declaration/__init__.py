"""What is said about a loss, once: the records that make functions, pages, sliders and tests.

A family module writes a formula on checked tensors under `declare`; everything else follows from
its arguments (`inputs`, `kinds`) and from what only its author can know.
"""

from .by_rows import by_rows, exact_by_rows
from .facts import (
    Fact,
    bounded,
    convex,
    minimiser,
    monotone,
    not_convex,
    not_proper,
    sum_over_labels,
    unbounded,
)
from .form import SymbolicForm, TargetForm, target_form
from .inputs import CLASS_LOGITS, Argument, Inputs
from .law import Law, law
from .loss import Gradient, Loss
from .measure import Measure, Stream, measure
from .numbers import RowLosses, row_dtype, widen
from .parameter import Parameter, number
from .rows import Row, Rows, box_cox, log_add, softplus
from .shell import declaration_of, declare
from .source import Source
from .view import View

__all__ = [
    "CLASS_LOGITS",
    "Argument",
    "Fact",
    "Gradient",
    "Inputs",
    "Law",
    "Loss",
    "Measure",
    "Parameter",
    "Row",
    "RowLosses",
    "Rows",
    "Source",
    "Stream",
    "SymbolicForm",
    "TargetForm",
    "View",
    "bounded",
    "box_cox",
    "by_rows",
    "convex",
    "declaration_of",
    "declare",
    "exact_by_rows",
    "law",
    "log_add",
    "measure",
    "minimiser",
    "monotone",
    "not_convex",
    "not_proper",
    "number",
    "row_dtype",
    "softplus",
    "sum_over_labels",
    "target_form",
    "unbounded",
    "widen",
]
