"""What a live figure takes from the declaration of the loss that it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy as sp
from sympy.printing.pretty.pretty_symbology import pretty_symbol

from ...declaration import Parameter
from ...losses import Loss, get
from ..live import Slider


class Subject:
    """A loss of class logits with the values at which its parameters start.

    `loss` is a declaration or a registry key; `values` overrides defaults by parameter name.

    Raises TypeError for anything else, ValueError for an unknown key, a loss without a symbolic
    form, an unknown parameter or a value outside its range.
    """

    def __init__(self, loss: Loss | str, values: Mapping[str, float] | None = None) -> None:
        loss = declaration(loss)
        if loss.form is None:
            raise ValueError(
                f"{loss.key} has no closed form over class logits (it takes {loss.inputs.words}): "
                "see its `picture`"
            )
        chosen = settings(loss, values)
        self.loss = loss
        self.form = loss.form
        self.sliders = tuple(slider(p, chosen[p.name]) for p in loss.parameters)

    @property
    def signals(self) -> dict[sp.Symbol, str]:
        """The Vega signal of each parameter's symbol."""
        return {p.sympy: parameter_signal(p) for p in self.loss.parameters}

    @property
    def title(self) -> str:
        """A Vega expression for the title with the present parameter values."""
        return titled(self.loss.title, self.loss.parameters)

    def expected(self, arguments: Sequence[sp.Symbol], weights: Sequence[sp.Expr]) -> sp.Expr:
        """The loss averaged over labels of the given weights; arguments as the form wants them."""
        terms = [
            weight * self.form.value(arguments, target) for target, weight in enumerate(weights)
        ]
        return sp.Add(*terms)


def declaration(loss: Loss | str) -> Loss:
    """The loss itself, or the one of that key; raises as `Subject` does."""
    if isinstance(loss, str):
        loss = get(loss)
    if not isinstance(loss, Loss):
        raise TypeError(f"loss must be a Loss or a key, got {type(loss).__name__}")
    return loss


def settings(loss: Loss, values: Mapping[str, float] | None) -> dict[str, float]:
    """The value of every parameter: that of `values`, checked, else of the view, or the default."""
    chosen = loss.defaults | dict(loss.view.starts) | dict(values or {})
    unknown = sorted(chosen.keys() - loss.defaults.keys())
    if unknown:
        raise ValueError(f"{loss.key} has no {unknown[0]!r}, only {sorted(loss.defaults)}")
    return {p.name: p.check(chosen[p.name]) for p in loss.parameters}


def framed(loss: Loss) -> tuple[Parameter, ...]:
    """What the frames run over: parameters, or numbers that arguments take."""
    named = {p.name: p for p in loss.parameters}
    given = tuple(named[p] if isinstance(p, str) else p for p in loss.view.framed)
    return given or loss.parameters[:1]


def frames(parameter: Parameter, chosen: Mapping[str, float], most: int = 11) -> Slider:
    """The slider of a parameter with at most `most` stops, one of which is the `chosen` value.

    The stops are as far apart as whole steps of the declared slider; of all such, those that reach
    furthest towards its ends are taken, and of these the closest.
    """
    value = chosen.get(parameter.name, parameter.default)
    full = slider(parameter, value)
    best = (0.0, 0, 0, 0, full.step)
    whole = round((full.stop - full.start) / full.step)
    for steps in range(max(1, whole // most), whole + 1, max(1, whole // 500)):
        gap = steps * full.step
        below = math.floor((value - full.start) / gap + 1e-9)
        above = math.floor((full.stop - value) / gap + 1e-9)
        count = below + above + 1
        if count <= most:
            best = max(best, (round((below + above) * gap, 9), count, below, above, gap))
    _, _, below, above, gap = best
    start, stop = (round(value + shift * gap, 9) for shift in (-below, above))
    low, high = _ends(parameter, start, stop)
    return replace(full, start=start, stop=stop, step=round(gap, 9), low=low, high=high)


def titled(title: str, parameters: Sequence[Parameter]) -> str:
    """A Vega expression for a title, followed where there is room by the values of parameters."""
    values = [f"', {symbol_of(p)} = ' + {parameter_signal(p)}_text" for p in parameters]
    return f"{title!r} + (wide ? {' + '.join(values)} : '')" if values else repr(title)


def parameter_signal(parameter: Parameter) -> str:
    """The name of the Vega signal of a parameter."""
    return f"param_{parameter.name}"


def symbol_of(parameter: Parameter) -> str:
    """The symbol of a parameter as plain text, such as τ."""
    parts = parameter.symbol.replace("\\", "").replace("var", "").split()
    return "".join(map(pretty_symbol, parts))


def slider(parameter: Parameter, value: float) -> Slider:
    """The slider of a parameter, widened to `value` if that lies beyond it."""
    start, stop, step = parameter.slider
    start, stop = min(start, value), max(stop, value)
    label = f"{symbol_of(parameter)}: {parameter.label or parameter.meaning}"
    ends = _ends(parameter, start, stop)
    return Slider(parameter_signal(parameter), label, start, stop, step, value, *ends)


def _ends(parameter: Parameter, *places: float) -> tuple[str, str]:
    """What stands at both ends of a slider: what they mean, and where they are."""
    meanings = (parameter.ends[0] or parameter.at_low, parameter.ends[1] or parameter.at_high)
    rounded = (f"{float(f'{place:.3g}'):,.6f}".rstrip("0").rstrip(".") for place in places)
    numbers = (number.replace("-", "\u2212") for number in rounded)
    low, high = (f"{words} ({number})" for words, number in zip(meanings, numbers, strict=True))
    return low, high
