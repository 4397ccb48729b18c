"""Live figure: an image under attack, and three numbers about the worst that can be done to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ..live import Choice, LiveFigure, Slider
from ..vega.frame import formula, mark, signal, table
from ..vega.panels import HEIGHT, Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

SIDE, DIGITS = 8, 4
LEGEND = (
    ("'attack: the largest lead found'", "subject"),
    ("'exact: mixed-integer programme'", "ink"),
    ("'relaxation: certified where it is below 0'", "path"),
)
VERDICT = (
    "now.relaxed < 0 ? 'robust, and the relaxation certifies it.'"
    " : now.exact < 0 ? 'robust, but only the exact answer can tell.'"
    " : now.attack >= 0 ? 'not robust: the image on the left is taken for a ' + now.seen + '.'"
    " : 'not robust, though the attack did not find it.'"
)
READOUT = (
    "'A ' + labels[chosen] + ', radius ' + format(radii[radius], '.3f')"
    " + '. Largest lead of a wrong class: ' + format(now.attack, '+.2f') + ' found, '"
    " + format(now.exact, '+.2f') + ' exact, ' + format(now.relaxed, '+.2f') + ' relaxed: '"
    " + verdict"
)


class Attacked(NamedTuple):
    """A network on I images at E radii, of which the first is 0.

    images : what the attack makes of them, (I, E, 64) in [0, 1]; seen : the class predicted there,
    (I, E); leads : largest lead of a wrong class that the attack finds, that there is, and that
    the relaxation allows, (I, E, 3).
    """

    images: torch.Tensor
    seen: torch.Tensor
    leads: torch.Tensor


def bracket(
    networks: Mapping[str, Attacked],
    labels: Sequence[int],
    radii: Sequence[float],
    *,
    image: int = 0,
    radius: int = 0,
) -> LiveFigure:
    """Digits of 8 x 8 pixels under attack, beside attack, exact answer and certificate.

    Parameters
    ----------
    networks : what became of the same images under each network; a list chooses.
    labels : of the images (I,); radii : of the balls (E,), from 0 up.
    image, radius : where the sliders start, places in `labels` and `radii`.

    Raises
    ------
    ValueError for no networks, and shapes that do not fit labels and radii.
    """
    if not networks:
        raise ValueError("networks must name at least one network, got none")
    shape = (len(labels), len(radii))
    for name, made in networks.items():
        got = made.images.shape, made.seen.shape, made.leads.shape
        if got != ((*shape, SIDE * SIDE), shape, (*shape, 3)):
            raise ValueError(
                f"networks[{name!r}] must have images {(*shape, 64)}, seen {shape} and leads "
                f"{(*shape, 3)}, got {tuple(map(tuple, got))}"
            )
    first = next(iter(networks))
    controls = (
        Slider("radius", "radius", 0, len(radii) - 1, 1, radius, "none", f"{radii[-1]:g}",
               shows="format(radii[radius], '.3f')", plays=True),
        Choice("network", "network", tuple(networks), first),
        Slider("chosen", "image", 0, len(labels) - 1, 1, image, "first", "last",
               shows="'' + (chosen + 1)"),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(radii),
        panes=("attacked image", "three numbers"),
        signals=[
            {"name": "radii", "value": list(radii)},
            {"name": "labels", "value": list(labels)},
            {"name": "made", "value": {name: _table(each) for name, each in networks.items()}},
            signal("course", "made[network][chosen]"),
            signal("now", "course.rows[radius]"),
            signal("verdict", VERDICT),
        ],
        readout=READOUT,
        data=[
            table(
                "pixels",
                SIDE * SIDE,
                formula("column", f"datum.index % {SIDE}"),
                formula("row", f"{SIDE} - floor(datum.index / {SIDE})"),
                formula("value", "now.image[datum.index]"),
            ),
            table(
                "course_rows",
                len(radii),
                formula("radius", "radii[datum.index]"),
                *(
                    formula(name, f"course.rows[datum.index].{name}")
                    for name in ("attack", "exact", "relaxed")
                ),
            ),
        ],
        alt=(
            "Left, a handwritten digit of 8 by 8 pixels as an attack within the radius leaves it. "
            "Right, the largest lead of a wrong class over the radius: three rising lines, the "
            "attack lowest, the exact answer just above it, the relaxation above both."
        ),
        caption=(
            "Left: what the attack makes of the image. Right: the largest lead of a wrong class "
            "over the label within the radius, as the attack finds it, as it is, and as a linear "
            "relaxation allows it. Where a line is above 0, so is a wrong answer for the attack "
            "and the exact line, and a doubt for the relaxation."
        ),
    )


def _table(made: Attacked) -> list[dict[str, Any]]:
    """For each image the ends of the axis, and the rows of its radii."""
    found = []
    for images, seen, leads in zip(made.images, made.seen, made.leads, strict=True):
        rows = [
            {
                "image": [round(v, 3) for v in pixels.tolist()],
                "seen": int(label),
                **{
                    name: round(v, DIGITS)
                    for name, v in zip(("attack", "exact", "relaxed"), lead.tolist(), strict=True)
                },
            }
            for pixels, label, lead in zip(images, seen, leads, strict=True)
        ]
        low, high = min(leads.min().item(), 0.0), max(leads[..., 1:].max().item(), 0.0)
        room = 0.08 * (high - low)
        found.append({"low": low - room, "high": high + room, "rows": rows})
    return found


def _plots(radii: Sequence[float]) -> tuple[Plot, Plot]:
    pixel = mark(
        "rect",
        "pixels",
        x={"scale": "across", "field": "column"},
        x2={"scale": "across", "signal": "datum.column + 1"},
        y={"scale": "up", "field": "row"},
        y2={"scale": "up", "signal": "datum.row - 1"},
        fill="ink",
        fillOpacity="datum.value",
    )
    bare = {"labels": False, "ticks": False, "domain": False}
    half = f"{SIDE / 2} * panel / {HEIGHT}"
    last = f"{radii[-1] * 1.02}"
    drawn = [("relaxed", "path"), ("exact", "ink"), ("attack", "subject")]
    return (
        (
            axis({"signal": "'seen as ' + now.seen"}, f"[4 - {half}, 4 + {half}]", look=bare),
            axis("", f"[0, {SIDE}]", look=bare),
            [pixel],
        ),
        (
            axis("radius", f"[0, {last}]"),
            axis("lead of a wrong class", "[course.low, course.high]"),
            [
                rule(("0", last), ("0", "0"), "muted", 1.5),
                rule(("radii[radius]",) * 2, ("course.low", "course.high"), "muted", 1),
                *(line("course_rows", "datum.radius", f"datum.{n}", c, 2) for n, c in drawn),
                *(
                    symbols("course_rows", "datum.radius", f"datum.{n}", size=22, fill=c)
                    for n, c in drawn
                ),
            ],
        ),
    )
