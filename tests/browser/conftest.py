"""A browser that reaches nothing but files of this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

LOCAL = ("file:", "data:", "blob:")
PATIENCE = 1_800_000  # milliseconds, so that a busy machine decides no test
VIEWPORT = {"width": 1280, "height": 720}


@dataclass
class Visit:
    """An open page: what it asked for and what went wrong."""

    page: Page
    files: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.type}: {message.text}")

    def request(self, request: Request) -> None:
        self.files.add(request.url)
        if not request.url.startswith(LOCAL):
            self.problems.append(f"request: {request.url}")

    def missing(self, request: Request) -> None:
        self.problems.append(f"missing: {request.url}")

    def error(self, error: Any) -> None:
        self.problems.append(f"error: {error}")


@contextmanager
def heard(page: Page) -> Iterator[Visit]:
    """All that a page says meanwhile."""
    visit = Visit(page)
    listeners: dict[Any, Callable[[Any], None]] = {
        "console": visit.message,
        "pageerror": visit.error,
        "request": visit.request,
        "requestfailed": visit.missing,
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        yield visit
    finally:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Iterator[Callable[..., AbstractContextManager[Visit]]]:
    """Open a file without network, wait until it is at rest, and forget it afterwards.

    Visits with the same settings follow each other in one tab, which compiles a script once.
    """
    tabs: dict[str, list[Page]] = defaultdict(list)

    @contextmanager
    def open_file(path: Path, query: str = "", **settings: Any) -> Iterator[Visit]:
        settings = {"viewport": VIEWPORT, "color_scheme": "light"} | settings
        idle = tabs[repr(settings)]
        page = idle.pop() if idle else browser.new_context(**settings).new_page()
        page.set_default_timeout(PATIENCE)
        scripts = settings.get("java_script_enabled", True)
        with heard(page) as seen:
            page.goto(path.as_uri() + query)
            if scripts:
                page.evaluate("window.MathJax?.startup?.promise")
                page.wait_for_function(
                    "document.querySelectorAll('.lossviz-live').length =="
                    " document.querySelectorAll('[data-lossviz=ready]').length"
                )
            yield seen
        if scripts:
            page.evaluate("localStorage.clear()")
        page.emulate_media(media="null", color_scheme=settings["color_scheme"])
        page.set_viewport_size(settings["viewport"])
        page.goto("about:blank")
        idle.append(page)

    yield open_file
