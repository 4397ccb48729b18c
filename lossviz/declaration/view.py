"""How the picture of a loss departs from what its inputs ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .parameter import Parameter


@dataclass(frozen=True)
class View:
    """What `declare` is given as ``view={...}``: one entry for each departure, all optional.

    `axes` names the arguments whose numbers are the two axes of a plane, each with the ends of its
    axis; `labels` are other words for the axes, and `point` is where the point starts. `at` says
    where an argument stays that does not move: one number, or several along its last axis. `frames`
    is what the frames run over: the name of a parameter that is not the first, or a `number` that
    has the name of an argument, or several of these. `starts` is where parameters stand at first
    whose default shows nothing. `scale` is that of the loss, "linear" or "log"; without it the one
    is chosen that suits the numbers. `pull`, where given, names minus the derivative along the
    first axis, which is then drawn instead of the loss. `classes` names the three classes of the
    plane of logits by index, in the order right, above, below. `says` is one sentence more for the
    caption.
    """

    axes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    point: tuple[float, ...] = ()
    at: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    frames: str | Parameter | tuple[str | Parameter, ...] = ""
    scale: str = ""
    pull: str = ""
    classes: Mapping[int, str] = field(default_factory=dict)
    says: str = ""
    starts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scale not in ("", "linear", "log"):
            raise ValueError(f"scale must be 'linear', 'log' or '', got {self.scale!r}")

    @property
    def framed(self) -> tuple[str | Parameter, ...]:
        """What the frames run over, as many as there are."""
        given = self.frames if isinstance(self.frames, tuple) else (self.frames,)
        return tuple(filter(None, given))

    def check(self, arguments: Collection[str], parameters: Collection[str]) -> None:
        """Raise ValueError for a name of no argument, or for frames or starts of no parameter."""
        frames = [p if isinstance(p, str) else p.name for p in self.framed]
        for name in (*self.axes, *self.at):
            if name not in arguments:
                raise ValueError(f"view names {name!r}, expected some of {list(arguments)}")
        for name in frames:
            if name not in (*arguments, *parameters):
                raise ValueError(f"frames run over {name!r}, expected one of {list(parameters)}")
        for name in self.starts:
            if name not in parameters:
                raise ValueError(f"starts names {name!r}, expected one of {list(parameters)}")
