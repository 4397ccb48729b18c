"""The picture of a loss, chosen by what it takes: a curve, a plane, pulls or a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...losses import Loss
from ..live import LiveFigure
from .curve import curve
from .mask import mask
from .pull import pull
from .sampled import sampled
from .subject import declaration


def picture(loss: Loss | str, *, values: Mapping[str, float] | None = None) -> LiveFigure:
    """The live figure that shows a loss best; nothing in it is written for the one loss.

    A loss of class logits with a closed form is a curve over the margin of the target (`curve`).
    Where embeddings are learnt, points pull at each other; where images of pixels are, a line is
    too thick, shifted or cut; every other loss is a surface over two of the numbers that it takes.
    The declaration's view may say which. `values` overrides parameter defaults.

    Raises TypeError for anything but a Loss or a registry key, ValueError for an unknown key, an
    unknown parameter, a value outside its range, and numbers that are not finite.
    """
    loss = declaration(loss)
    if loss.form is not None:
        return curve(loss, values=values)
    return drawing(loss)(loss, values=values)


def drawing(loss: Loss) -> Callable[..., LiveFigure]:
    """Which of the pictures from numbers suits what is learnt."""
    learnt = [loss.inputs[name] for name in loss.inputs.learnt]
    if any(argument.kind.directed for argument in learnt):
        return pull
    if any({"H", "W"} <= {*argument.letters} for argument in learnt):
        return mask
    return sampled
