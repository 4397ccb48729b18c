"""Explore any torch loss of three class logits in JupyterLab: sliders from its signature."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ...losses import Loss
from ..loss.views import EXTENT
from .controls import Range, controls_of
from .functions import Explored, read
from .widget import Explorer

MOST = 3
Given = Loss | str | Callable[..., torch.Tensor]


def explore(
    f: Given,
    *,
    beside: Given | Sequence[Given] = (),
    ranges: Mapping[str, Range] | None = None,
    choices: Mapping[str, Sequence[Any]] | None = None,
    start: tuple[float, float] = (-3.0, 1.0),
) -> Explorer:
    """Landscape, level sets, gradient field and gradient-flow path of a loss, under sliders.

    Parameters
    ----------
    f : a declared loss, its registry key, function or module, or any torch function (or nn.Module)
        ``f(logits, target, **params)`` of logits (N, 3) and integer labels (N,), which returns one
        value per example or a scalar mean or sum. The logits of a teacher are 2 for the target
        class and 0 for the others; class counts are 90, 9 and 1.
    beside : one or two more of these, to compare with: on the same axes the losses, their pulls and
        weights over the margin, and landscapes with the path from the same start.
    ranges : (low, high) or (low, high, step) of sliders by parameter name, for every function that
        has the parameter. Without it a slider takes its range from the declaration, from an
        annotation ``Annotated[float, (0, 3)]``, or reaches from zero to twice the default ([-1, 1]
        for a default of zero). It starts at the default, which is one of its stops.
    choices : values of a dropdown by parameter name, as is done for ``Literal`` annotations.
    start : where the path starts, in the coordinates (u, v) of the zero-sum plane, each in [-6, 6].

    The caption says what a picture cannot: that a loss looks at other examples of the batch (it is
    then drawn for batches of one), where it is not a number, and that a slow one is drawn coarsely.
    To stop a function that does not return, interrupt the kernel; the explorer stays usable.

    Raises
    ------
    TypeError if `f` cannot be called as above, or a range is not a pair of numbers; ValueError for
    an unknown registry key, an unknown parameter in `ranges` or `choices`, an empty range, more
    than three functions, or a start outside the plane. A mistake inside `f` does not raise: the
    widget shows it in place of the picture, until a control is moved to where `f` works.

    Examples
    --------
    >>> def tempered(logits, target, temperature=1.0):
    ...     return torch.nn.functional.cross_entropy(logits / temperature, target)
    >>> explore(tempered, beside="focal", ranges={"temperature": (0.1, 5)})  # doctest: +SKIP
    """
    others = beside if isinstance(beside, (list, tuple)) else (beside,)
    explored = [read(each) for each in (f, *others)]
    if len(explored) > MOST:
        raise ValueError(f"at most {MOST} functions can be compared, got {len(explored)}")
    if len(start) != 2 or not all(-EXTENT <= coordinate <= EXTENT for coordinate in start):
        raise ValueError(f"start must be two numbers in [-{EXTENT:g}, {EXTENT:g}], got {start}")
    ranges, choices = dict(ranges or {}), dict(choices or {})
    _check_names(explored, {"ranges": ranges, "choices": choices})
    return Explorer([(each, controls_of(each, ranges, choices)) for each in explored], start)


def _check_names(explored: Sequence[Explored], given: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError for a name that is a parameter of none of the functions."""
    known = {name for each in explored for name in each.parameters}
    titles = " or ".join(each.title for each in explored)
    for argument, entries in given.items():
        for name in entries.keys() - known:
            near = difflib.get_close_matches(name, known) or sorted(known)
            raise ValueError(
                f"{argument} names {name!r}, which is not a parameter of {titles}; "
                + (f"did you mean one of {near}?" if near else "it has none")
            )
