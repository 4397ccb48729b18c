"""What every live figure owes its reader: each control changes the picture and the words."""

from __future__ import annotations

from typing import Any

from lossviz.widgets.live import LiveFigure


def move_each(page: Any, figure: LiveFigure, key: str = "ArrowLeft") -> None:
    """Move every control of the only figure of a page: another choice, or a slider by `key`."""
    stage = page.locator(".lossviz-stage")
    for control in figure.controls:
        before = stage.locator("svg").evaluate("(svg) => svg.outerHTML")
        words = page.locator(".lossviz-readout").inner_text()
        field = page.get_by_label(control.label, exact=True)
        if control.kind == "choice":
            field.select_option(next(o for o in control.options if o != control.value))
        else:
            field.press(key)
        page.wait_for_function(
            "(words) => document.querySelector('.lossviz-readout').textContent !== words", arg=words
        )
        assert stage.locator("svg").evaluate("(svg) => svg.outerHTML") != before
