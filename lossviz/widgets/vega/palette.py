"""One palette for every figure: Vega signals and theme for live ones, matplotlib style for others.

The line colours are from the set of Okabe and Ito, told apart under every common colour blindness;
the ramp is ordered by lightness alone, so it also reads in grey. A live figure carries both a light
and a dark palette and switches with the Vega signal ``dark``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Palette:
    """Colours by the part they play; `ramp` goes from low values to high ones.

    `hues` tell classes apart, in their order.
    """

    surface: str
    ink: str
    muted: str
    rule: str
    subject: str
    reference: str
    path: str
    ramp: tuple[str, ...]
    hues: tuple[str, ...]


LIGHT = Palette(
    surface="#ffffff",
    ink="#24292f",
    muted="#59636e",
    rule="#dfe3e8",
    subject="#0072b2",
    reference="#8a929b",
    path="#d55e00",
    ramp=("#f7fafc", "#c5dbec", "#7fb0d5", "#3c7fb4", "#123d66"),
    hues=("#0072b2", "#d55e00", "#00865f", "#b0508a"),
)
DARK = Palette(
    surface="#121417",
    ink="#e6e9ec",
    muted="#a7b0ba",
    rule="#343a41",
    subject="#56b4e9",
    reference="#8a929b",
    path="#ffa94d",
    ramp=("#161c23", "#1f3a54", "#2f638f", "#5f97c6", "#c3dcf0"),
    hues=("#56b4e9", "#ffa94d", "#35c79a", "#ea9ec9"),
)
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def colour_signals() -> list[dict[str, Any]]:
    """Vega signals: ``dark``, and one per colour of the palette that follows it."""
    signals: list[dict[str, Any]] = [{"name": "dark", "value": False}]
    for field in fields(Palette):
        light, dark = getattr(LIGHT, field.name), getattr(DARK, field.name)
        if isinstance(light, tuple):
            light, dark = list(light), list(dark)
        signals.append({"name": field.name, "update": f"dark ? {dark!r} : {light!r}"})
    return signals


def colour(name: str) -> dict[str, str]:
    """Reference to a colour signal, for mark and axis properties."""
    return {"signal": name}


def vega_config() -> dict[str, Any]:
    """The Vega theme. It needs the signals of `colour_signals`."""
    return {
        "axis": {
            "domainColor": colour("muted"),
            "gridColor": colour("rule"),
            "labelColor": colour("muted"),
            "labelFontSize": 11,
            "labelOverlap": "greedy",
            "labelPadding": 4,
            "labelSeparation": 4,
            "tickColor": colour("muted"),
            "tickSize": 4,
            "titleColor": colour("ink"),
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 6,
        },
        "style": {"guide-label": {"font": FONT}, "guide-title": {"font": FONT}},
        "text": {"font": FONT, "fontSize": 12},
    }


FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"


def matplotlib_style() -> dict[str, Any]:
    """The same look as matplotlib settings: ``plt.style.use(matplotlib_style())``.

    The figure is white, so that a bitmap stays readable on a dark page, and the axes have no ground
    of their own. An SVG keeps its text as text, in the fonts of a page that shows it.
    """
    from cycler import cycler

    *fonts, generic = FONT.split(", ")

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": LIGHT.muted,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": LIGHT.ink,
        "axes.prop_cycle": cycler(color=CYCLE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "figure.dpi": 110,
        "figure.facecolor": LIGHT.surface,
        "figure.figsize": (6.4, 3.6),
        "font.family": [generic, "DejaVu Sans"],  # which has the glyphs that others lack
        "font.sans-serif": [*fonts, "DejaVu Sans"],
        "font.size": 10,
        "grid.color": LIGHT.rule,
        "legend.frameon": False,
        "lines.linewidth": 2,
        "savefig.bbox": "tight",
        "svg.fonttype": "none",
        "svg.hashsalt": "lossviz",  # the same names in each run
        "text.color": LIGHT.ink,
        "xtick.color": LIGHT.muted,
        "ytick.color": LIGHT.muted,
    }
