"""Settings for every test: repeatable examples, one thread per process, site and browser."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

torch.set_num_threads(1)  # xdist adds processes
if not torch.cuda.is_available():  # to be asked for before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=150)
settings.load_profile("repeatable")

ROOT = Path(__file__).parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The book, which takes longest to build, comes first; what else waits for it, late.

    Live figures, which need a browser but no book, come last: many modules of middling length, they
    keep the other processes busy while one walks through all pages of the book.
    """

    def modules(fixture: str) -> list[Path]:
        using = (item for item in items if fixture in getattr(item, "fixturenames", ()))
        return [*dict.fromkeys(item.path for item in using)]

    waiting = modules("site")
    place = dict.fromkeys(modules("browser"), 3) | dict.fromkeys(waiting, 2)
    place |= dict.fromkeys(waiting[:1], 0)
    items.sort(key=lambda item: place.get(item.path, 1))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests stay to the end: looking for garbage need not walk them each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """What extension modules count is freed at the end, as ever."""
    gc.unfreeze()


# A module's own: two of Playwright's event loops cannot run in one process at a time.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of the system if there is one, else Playwright's; it resolves no host name."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site(testrun_uid: str) -> Path:
    """Folder of the book's pages, built as `make book` builds it, once for all test processes."""
    build = ROOT / "_build"
    build.mkdir(exist_ok=True)
    mark = build / ".tested"
    with FileLock(build / ".lock"):
        if not mark.exists() or mark.read_text() != testrun_uid:
            command = [Path(sys.executable).with_name("jupyter-book"), "build", "."]
            options = ["-W", "-n", "--keep-going"]
            made = subprocess.run([*command, *options], cwd=ROOT, capture_output=True)
            assert made.returncode == 0, made.stderr.decode()[-8000:]
            mark.write_text(testrun_uid)
    return build / "html"
