"""From a formula to a public loss: checks, widening, ignored rows, reduction, signature, words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch

from .facts import Fact
from .form import SymbolicForm, target_form
from .inputs import BATCH, CLASS_LOGITS, Checked, Inputs
from .loss import Gradient, Loss
from .numbers import (
    check_ignore_index,
    check_reduction,
    reduce_rows,
    seen_everywhere,
    without_autocast,
)
from .parameter import Parameter
from .rows import on_logits
from .source import Source
from .view import View
from .words import docstring_words, split_parameters

Function = Callable[..., torch.Tensor]


def declare(
    *,
    family: str,
    latex: str,
    source: Source,
    inputs: Inputs = CLASS_LOGITS,
    parameters: tuple[Parameter, ...] = (),
    form: str | SymbolicForm | None = None,
    slope: str = "",
    gradient: Gradient | None = None,
    facts: tuple[Fact, ...] = (),
    stability: str = "",
    notes: str = "",
    related: tuple[str, ...] = (),
    breaks: tuple[str, ...] = (),
    view: Mapping[str, Any] | None = None,
    reading: bool = False,
    also: tuple[str, ...] = (),
    in_torch: str = "",
    use: str = "",
    avoid: str = "",
) -> Callable[[Callable[..., Any]], Function]:
    """Make a public loss of the formula below it, and its declaration.

    The formula is a function of the arguments of `inputs` by their names, or of one `row` (then
    `inputs` are class logits). What it gets is checked; half precision is float32, ignored labels
    are 0. It returns the losses of the rows, or `RowLosses`; if it asks for ``kept`` it gets the
    mask of the labels that count (None where nothing can be ignored). Its keyword-only parameters
    become those of the loss: numbers of `parameters` are checked, others are handed on. A formula
    over a row is run once here, to see what it reads: what it calls stands above it.

    `also`, `in_torch`, `use` and `avoid` are words for the pages; `Loss` says what they hold.

    The first line of its docstring is "Title: summary."; lines "name : meaning" describe its other
    keywords, with what follows indented; the rest becomes the notes. The public
    function adds ``ignore_index`` where labels can be ignored and ``reduction`` where there are
    rows, and has a signature and a docstring of its own. A text `form` is over the target
    probability p. `view` has entries of `View`, for a picture that would be dull otherwise. Nothing
    is registered: `lossviz.losses` lists what there is.
    """

    def decorate(formula: Callable[..., Any]) -> Function:
        options = {
            name: keyword
            for name, keyword in inspect.signature(formula).parameters.items()
            if keyword.kind is inspect.Parameter.KEYWORD_ONLY
        }
        numbers = tuple(replace(p, default=options[p.name].default) for p in parameters)
        title, summary, prose = docstring_words(formula)
        loss = Loss(
            key=formula.__name__,
            title=title,
            family=family,
            function=formula,  # replaced below, where the public one exists
            formula=formula,
            summary=summary,
            latex=latex,
            inputs=inputs,
            source=source,
            parameters=numbers,
            form=target_form(form, numbers) if isinstance(form, str) else form,
            slope=slope,
            derivative=gradient,
            facts=facts,
            stability=stability,
            notes=notes,
            related=related,
            breaks=breaks,
            view=View(**(view or {})),
            reading=reading,
            also=also,
            in_torch=in_torch,
            use=use,
            avoid=avoid,
        )
        function = _public(loss, options)
        function.__doc__ = _docstring(loss, options, prose)
        loss = replace(loss, function=function)
        function.declaration = loss  # type: ignore[attr-defined]
        return function

    return decorate


def declaration_of(function: Function) -> Loss:
    """The declaration of a function that `declare` made."""
    return cast(Loss, vars(function)["declaration"])


def _public(loss: Loss, options: Mapping[str, inspect.Parameter]) -> Function:
    formula, inputs = loss.formula, loss.inputs
    signature = _signature(loss, options)
    positional = tuple(
        p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    )
    known = tuple(signature.parameters)
    tensors = tuple(a.name for a in inputs.arguments)
    required = tuple(a.name for a in inputs.arguments if not a.optional)
    numbers = {p.name: p for p in loss.parameters}
    others = {name: p.default for name, p in options.items() if name not in tensors}
    of_rows = on_logits(formula) if loss.of_a_row else None
    wants_kept = "kept" in inspect.signature(formula).parameters
    key = loss.key

    def function(*args: Any, **named: Any) -> torch.Tensor:
        if len(args) > len(positional):
            raise TypeError(
                f"{key}() takes {len(positional)} positional arguments {positional}, "
                f"got {len(args)}; parameters are given by name"
            )
        values = dict(zip(positional, args, strict=False))
        for name, value in named.items():
            if name in values:
                raise TypeError(f"{key}() got {name} twice, by place and by name")
            if name not in known:
                raise TypeError(f"{key}() got an unexpected {name}, expected some of {known}")
            values[name] = value
        missing = [name for name in required if name not in values]
        if missing:
            raise TypeError(f"{key}() is missing {missing}")
        chosen = {
            name: numbers[name].check(values.get(name, default))
            if name in numbers
            else values.get(name, default)
            for name, default in others.items()
        }
        reduction = values.get("reduction", "mean")
        check_reduction(reduction)
        ignore_index = None
        if inputs.ignorable:
            ignore_index = check_ignore_index(values.get("ignore_index", -100))
        checked = inputs.check(values, ignore_index)
        kept = _kept_rows(inputs, checked)
        if kept is not None and not seen_everywhere(kept):
            checked = _without_ignored(inputs, checked, kept)
        if wants_kept:
            chosen["kept"] = checked.kept
        if of_rows is not None:
            found = of_rows(*(checked[name] for name in required), **chosen)
        else:
            with without_autocast(checked[required[0]].device):
                found = formula(**checked.tensors, **chosen)
        return reduce_rows(found, kept, reduction, checked.dtype)

    function.__name__ = formula.__name__
    function.__qualname__ = formula.__qualname__
    function.__module__ = formula.__module__
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _kept_rows(inputs: Inputs, checked: Checked) -> torch.Tensor | None:
    """Which rows count: those with a label that does."""
    kept = checked.kept
    if kept is None:
        return None
    (argument,) = (a for a in inputs.arguments if a.kind.ignorable)
    inner = [letter for letter in argument.letters if letter not in inputs.rows]
    return kept.flatten(-len(inner)).any(-1) if inner else kept


def _without_ignored(inputs: Inputs, checked: Checked, kept: torch.Tensor) -> Checked:
    """The same with ones in the rows left out: whatever they held, their gradient is exactly 0."""
    tensors = dict(checked.tensors)
    for argument in inputs.arguments:
        tensor = tensors[argument.name]
        if tensor is None or not tensor.is_floating_point():
            continue
        letters = argument.read_as(tensor).letters
        if letters[: len(inputs.rows)] == inputs.rows:
            mask = kept.reshape(kept.shape + (1,) * (tensor.ndim - kept.ndim))
            tensors[argument.name] = torch.where(mask, tensor, 1.0)
    return replace(checked, tensors=tensors)


def _signature(loss: Loss, options: Mapping[str, inspect.Parameter]) -> inspect.Signature:
    place, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    tensor, maybe = "torch.Tensor", "torch.Tensor | None"
    given = {a.name for a in loss.inputs.arguments}
    parameters = [
        inspect.Parameter(a.name, place, annotation=tensor)
        if not a.optional
        else inspect.Parameter(
            a.name, place if a.positional else named, default=None, annotation=maybe
        )
        for a in loss.inputs.arguments
    ]
    parameters += [p for name, p in options.items() if name not in given and name != "kept"]
    if loss.inputs.ignorable:
        parameters.append(
            inspect.Parameter("ignore_index", named, default=-100, annotation="int")
        )  # fmt: skip
    if loss.inputs.rows:
        parameters.append(inspect.Parameter("reduction", named, default="mean", annotation="str"))
    return inspect.Signature(
        sorted(parameters, key=lambda p: p.kind), return_annotation=tensor
    )  # fmt: skip


def _docstring(loss: Loss, options: Mapping[str, inspect.Parameter], prose: str) -> str:
    """What `help` shows: the summary, the formula, and what follows from the declaration."""
    inputs = loss.inputs
    lines = [f"{loss.title}: {loss.summary[:1].lower()}{loss.summary[1:]}", ""]
    lines += [f".. math:: {loss.latex}", "", "Parameters", "----------"]
    for a in inputs.arguments:
        dtype = {
            "floating": "floating",
            "integer": "integer",
            "real": "integer or floating",
            "truth": "bool or 0/1",
        }
        also = f"; or {a.otherwise.kind.noun} {a.otherwise.written}" if a.otherwise else ""
        may = " or None (default)" if a.optional else ""
        index = " or `ignore_index`" if a.kind.ignorable else ""
        meaning = f". {a.meaning}" if a.meaning else ""
        lines.append(
            f"{a.name} : {dtype[a.kind.holds]} tensor {a.written} of {a.kind.noun}"
            f"{index}{also}{may}{meaning}."
        )
    for p in loss.parameters:
        lines.append(
            f"{p.name} : number in {p.interval}, default {p.default:g}: {p.meaning}. "
            f"At the low end {p.at_low}; at the high end {p.at_high}."
        )
    further, prose = split_parameters(prose)
    lines += further
    if inputs.ignorable:
        lines.append(
            "ignore_index : label of what is left out, default -100. Such a row may hold anything, "
            "NaN too: its gradient is exactly 0."
        )
    if inputs.rows:
        lines.append('reduction : "mean" over what is kept (default), "sum" or "none".')
    rows = "(...)" if inputs.rows == (BATCH,) else f"({', '.join(inputs.rows)},)"
    shape = f'; scalar, or {rows} for "none"' if inputs.rows else ", a scalar"
    lines += ["", "Returns", "-------"]
    lines += [f"Loss in the dtype of `{inputs.arguments[0].name}`{shape}."]
    lines += ["", "Raises", "------"]
    lines += [
        "TypeError for what is not a tensor, a wrong dtype, or a parameter that is not a number; "
        "ValueError for shapes or devices that do not fit, a parameter out of range, an unknown "
        "reduction, and values out of range (read on the CPU only). NaN stays NaN."
    ]
    where = f", {loss.source.where}" if loss.source.where else ""
    lines += ["", "Notes", "-----"]
    lines += ([prose, ""] if prose else []) + [f"Source: {loss.source.key}{where}."]
    return "\n".join(lines)
