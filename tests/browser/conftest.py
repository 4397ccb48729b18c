"""A browser that reaches nothing but files of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route

LOCAL = ("file:", "data:", "blob:")
PATIENCE = 1_800_000  # milliseconds, so that a busy machine decides no test


@dataclass
class Visit:
    """An open page: what it asked for and what went wrong."""

    page: Page
    files: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Callable[..., AbstractContextManager[Visit]]:
    """Open a file in a fresh context without network, wait until it is at rest, close it again."""

    @contextmanager
    def open_file(path: Path, query: str = "", **settings: Any) -> Iterator[Visit]:
        context = browser.new_context(**settings)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        seen = Visit(page)

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                seen.problems.append(f"console {message.type}: {message.text}")

        def answer(route: Route) -> None:
            url = route.request.url
            seen.files.add(url)
            if url.startswith(LOCAL):
                route.continue_()
            else:
                seen.problems.append(f"request: {url}")
                route.abort()

        page.on("console", hear)
        page.on("pageerror", lambda error: seen.problems.append(f"error: {error}"))
        page.on("requestfailed", lambda request: seen.problems.append(f"missing: {request.url}"))
        page.route("**/*", answer)
        page.goto(path.as_uri() + query)
        if settings.get("java_script_enabled", True):
            page.evaluate("window.MathJax?.startup?.promise")
            page.wait_for_function(
                "document.querySelectorAll('.lossviz-live').length =="
                " document.querySelectorAll('[data-lossviz=ready]').length"
            )
        yield seen
        context.close()

    return open_file
