"""What the explorer calls: a declared loss, a module or a function, and its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ... import losses
from ...declaration.inputs import BATCH, Argument
from ...declaration.kinds import LOGITS, TEACHER
from ...losses import Loss

TEACHER_LOGIT = 2.0
Function = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Explored:
    """A function of logits (N, 3), labels (N,) and keyword parameters.

    `parameters` maps their names to defaults and annotations, `ranges` to the sliders of those that
    are declared.
    """

    title: str
    function: Function
    parameters: Mapping[str, tuple[Any, Any]]
    ranges: Mapping[str, tuple[float, float, float]]


def read(f: Any) -> Explored:
    """Whatever `explore` got. Raises as `explore` does."""
    if isinstance(f, str):
        f = losses.get(f)
    if isinstance(f, type) and issubclass(f, torch.nn.Module):
        raise TypeError(f"f must be an instance of a module, got the class: give {f.__name__}()")
    for loss in losses.LOSSES.values():
        if f is loss or f is loss.function:
            return _declared(loss, {})
        if isinstance(f, torch.nn.Module) and type(f).__qualname__ == loss.module.__qualname__:
            return _declared(loss, {name: getattr(f, name) for name in _options(loss)})
    named = _parameters(f)
    return Explored(
        getattr(f, "__name__", type(f).__name__),
        _per_example(f, named),
        {name: (p.default, p.annotation) for name, p in named.items()},
        {},
    )


def _options(loss: Loss) -> list[str]:
    """The keywords of a loss but for the reduction."""
    keywords = loss.signature.parameters.values()
    return [p.name for p in keywords if p.kind is p.KEYWORD_ONLY and p.name != "reduction"]


def _declared(loss: Loss, options: Mapping[str, Any]) -> Explored:
    """A loss as a function of logits and labels; `options` are those of its module."""
    first, *others = loss.inputs.required
    drawn = first.kind is LOGITS and first.letters[-2:] in ((BATCH, "K"), ("N", "K"))
    if not drawn or not all(_follows(argument) for argument in others):
        raise ValueError(
            f"explore draws losses of class logits and of a teacher's beside them, {loss.key} "
            f"takes {loss.inputs.words}"
        )

    def function(logits: torch.Tensor, target: torch.Tensor, **chosen: Any) -> torch.Tensor:
        given = {argument.name: _follow(argument, logits, target) for argument in others}
        return loss.function(**{first.name: logits, **given, **options, **chosen})

    return Explored(
        loss.title,
        _per_example(function, loss.signature.parameters),
        {p.name: (options.get(p.name, p.default), float) for p in loss.parameters},
        {p.name: p.slider for p in loss.parameters},
    )


def _follows(argument: Argument) -> bool:
    """Whether an argument beside the logits is known once the label is."""
    return argument.kind.counts == "K" or argument.kind is TEACHER or argument.letters == ("K",)


def _follow(argument: Argument, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The labels, a teacher that is sure of them, or what each class has at rest."""
    if argument.kind.counts:
        return target
    if argument.kind is TEACHER:
        return TEACHER_LOGIT * torch.nn.functional.one_hot(target, logits.shape[-1]).to(logits)
    return torch.tensor(argument.kind.rest).to(logits).expand(logits.shape[-1])


def _parameters(f: Any) -> dict[str, inspect.Parameter]:
    """The named parameters of the reader's function after logits and target."""
    if not callable(f):
        raise TypeError(
            f"f must be a declared loss, a registry key or a torch function, "
            f"got {type(f).__name__}: {f!r}"
        )
    called = f.forward if isinstance(f, torch.nn.Module) else f
    try:
        found = inspect.signature(called, eval_str=True).parameters.values()
    except NameError:  # an annotation that cannot be evaluated says nothing about sliders
        found = inspect.signature(called).parameters.values()
    except ValueError as error:
        raise TypeError(f"f must have a signature that Python can read: {error}") from error
    places = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) < 2:
        raise TypeError(f"f must take (logits, target, ...), got {inspect.signature(called)}")
    named = {p.name: p for p in (*places[2:], *(p for p in found if p.kind is p.KEYWORD_ONLY))}
    for name, parameter in named.items():
        if parameter.default is parameter.empty:
            raise TypeError(f"parameter {name!r} of f must have a default")
    return named


def _per_example(function: Function, parameters: Mapping[str, Any]) -> Function:
    """Ask for one value per example where the function can be asked."""
    if "reduction" not in parameters:
        return function
    return lambda logits, target, **kwargs: function(
        logits, target, **{"reduction": "none"} | kwargs
    )
