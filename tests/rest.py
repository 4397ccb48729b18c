"""When a page shows what it was last told."""

from __future__ import annotations

from typing import Any

# A figure hears of a new size or theme in one frame, asks for the next and draws in it.
AT_REST = """async () => {
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    const stages = [...document.querySelectorAll(".lossviz-stage")];
    await Promise.all(stages.map((stage) => stage.lossviz?.view.runAsync()));
    for (const each of document.getAnimations()) if (each instanceof CSSTransition) each.finish();
}"""


def rest(page: Any) -> None:
    """Wait until the figures of a page have drawn all that they were told: no time is too short."""
    page.evaluate(AT_REST)
