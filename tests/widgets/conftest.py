"""A static page with live figures, opened as a file in a browser that reaches no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lossviz.widgets import LiveFigure
from lossviz.widgets.runtime import page_scripts

SHIM = Path(__file__).parents[2] / "book" / "_static" / "lossviz-page.js"
PATIENCE = 1_800_000  # milliseconds, so that a busy machine decides no test
READY = "document.querySelectorAll('.lossviz-stage[data-lossviz]').length === {}"


@pytest.fixture
def without_stills(monkeypatch):
    """Figures whose still picture, which has tests of its own, is not drawn: that takes long."""
    monkeypatch.setattr(LiveFigure, "still", lambda figure: b"")


@pytest.fixture
def show(browser, tmp_path):
    """A function that opens a page with the given HTML blocks and waits until all are drawn."""
    vendor = tmp_path / "_static" / "vendor"
    vendor.mkdir(parents=True)
    shutil.copy(SHIM, tmp_path / "_static")
    for name, text in page_scripts().items():
        (vendor / name).write_text(text, encoding="utf-8")
    context = browser.new_context(viewport={"width": 900, "height": 1400}, has_touch=True)
    context.set_default_timeout(PATIENCE)

    def open_page(*blocks):
        (tmp_path / "index.html").write_text(
            '<!doctype html><html lang="en" data-content_root="./" data-theme="light">'
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<body>{''.join(blocks)}<script src='_static/lossviz-page.js'></script></body></html>",
            encoding="utf-8",
        )
        page = context.new_page()
        page.goto(f"file://{tmp_path}/index.html")
        page.wait_for_function(READY.format(len(blocks)))
        return page

    yield open_page
    context.close()
