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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page lies, with its scripts: at one address they are compiled once."""
    folder = tmp_path_factory.mktemp("page")
    vendor = folder / "_static" / "vendor"
    vendor.mkdir(parents=True)
    shutil.copy(SHIM, folder / "_static")
    for name, text in page_scripts().items():
        (vendor / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def window(browser):
    """One page for all tests of a module: to start one takes longer than most figures."""
    context = browser.new_context(has_touch=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def show_with_stills(window, folder):
    """A function that opens a page with the given HTML blocks and waits until all are drawn."""

    def open_page(*blocks):
        (folder / "index.html").write_text(
            '<!doctype html><html lang="en" data-content_root="./" data-theme="light">'
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<body>{''.join(blocks)}<script src='_static/lossviz-page.js'></script></body></html>",
            encoding="utf-8",
        )
        window.mouse.move(0, 0)
        window.emulate_media(media="null")
        window.set_viewport_size({"width": 900, "height": 1400})
        window.goto(f"file://{folder}/index.html")
        window.wait_for_function(READY.format(len(blocks)))
        return window

    return open_page


@pytest.fixture
def show(show_with_stills, without_stills):
    """The same for figures alone: their still pictures are not drawn."""
    return show_with_stills
