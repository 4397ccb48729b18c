"""How chapters are executed: again when what they import has changed, and on one thread.

The cache of executed notebooks compares the code of the cells and the description of their kernel.
Here that description names what the cells import of the package, with a key of how it reads at
present (see `lossviz_imports`), and Sphinx is told of pages whose imports have changed while their
text has not. What the cache lacks is executed before the pages are read, as many kernels at a time
as there are processors. Each has one thread, because sums then add up in the same order on every
machine, and because threads of small computations spend their time waiting for one another. A
kernel listens on sockets in a folder that is its own, where TCP ports would be open to everybody on
the machine. Pictures are drawn as SVG without a ground and without a date, so that they suit a dark
page and come out the same each time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from jupyter_client.manager import AsyncKernelManager
from lossviz_imports import HERE, IMPORTS, imported_names, parse
from myst_nb.core import execute
from myst_nb.core.read import create_nb_reader
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.display import status_iterator

KEPT_EXECUTIONS = 200
PICTURES = [
    "--InlineBackend.figure_formats=svg",
    "--InlineBackend.print_figure_kwargs="
    "{'bbox_inches': 'tight', 'facecolor': 'none', 'metadata': {'Date': None}}",
]
# Imports take longest on most pages. They make many objects and no garbage, for which Python looks
# again and again. And `glue` imports a checker of notebooks, with it the grammars of international
# addresses, which take a second and check what no page holds; without them it works the same.
LIGHT_START = (
    "--IPKernelApp.exec_lines=import gc, sys; gc.set_threshold(10_000); "
    "sys.modules['rfc3987_syntax'] = None"
)
MATHS_FONT = "font-family: 'DejaVu Sans';"
LONGEST_SOCKET = 103  # bytes of its path, on the system that takes fewest
PATIENCE = 3600  # seconds that a kernel may take to start, or to speak, on a busy machine


def imports_of(cells: Iterable[NotebookNode]) -> dict[str, Any]:
    """What code cells import of the package, and its key."""
    names = set[str]()
    for cell in cells:
        if cell.cell_type == "code":
            with suppress(SyntaxError):  # which running it will tell
                names |= imported_names(parse(cell.source))
    return {"names": sorted(names), "key": HERE.key(names)}


def name_imports(notebook: NotebookNode) -> NotebookNode:
    """The notebook, whose kernel now tells what the cells import."""
    notebook.metadata.kernelspec[IMPORTS] = imports_of(notebook.cells)
    return notebook


class ImportsClient(execute.NotebookClientCache):
    """Looks a notebook up by its cells and by what they import."""

    def start_client(self) -> None:
        read = name_imports(self.notebook)
        super().start_client()
        # What comes from the cache is another object, and MyST-NB writes out the one it has read.
        read.cells = self.notebook.cells


def private_folder() -> Path:
    """A new temporary folder of this user alone; in /tmp where the usual place has a long path."""
    folder = Path(mkdtemp(prefix="lossviz-"))
    if len(os.fsencode(folder)) + len("/kernel-ipc-5") > LONGEST_SOCKET:
        folder.rmdir()
        folder = Path(mkdtemp(prefix="lossviz-", dir="/tmp"))
    return folder


class PrivateKernelManager(AsyncKernelManager):
    """Talks to its kernel through files in a temporary folder of this user alone."""

    def __init__(self, **settings: Any) -> None:
        folder = private_folder()
        super().__init__(transport="ipc", connection_file=str(folder / "kernel.json"), **settings)
        finalize(self, shutil.rmtree, folder, ignore_errors=True)


run = partial(
    single_nb_execution,
    startup_timeout=PATIENCE,
    iopub_timeout=PATIENCE,
    kernel_manager_class=PrivateKernelManager,
    extra_arguments=[*PICTURES, LIGHT_START],
)


def execute_together(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    """Fill the cache; a page that fails is left to its reading, which tells what is wrong."""
    config = env.mystnb_config
    if config.execution_mode != "cache":
        return
    cache = get_cache(config.execution_cache_path)

    found: list[tuple[Path, NotebookNode]] = []
    for path in (Path(env.doc2path(page)) for page in pages):
        text = path.read_text(encoding="utf-8")
        if reader := create_nb_reader(str(path), env.myst_config, config, text):
            notebook = name_imports(reader.read(text))
            try:
                cache.match_cache_notebook(notebook)
            except KeyError:
                found.append((path, notebook))

    def executed(page: tuple[Path, NotebookNode]) -> tuple[Path, ExecutionResult]:
        path, notebook = page
        settings = {"timeout": config.execution_timeout, "allow_errors": False}
        return path, run(notebook, cwd=str(path.parent), **settings)

    with ThreadPoolExecutor(os.cpu_count()) as kernels:
        results = kernels.map(executed, found)
        shown = {"length": len(found), "stringify_func": lambda result: result[0].stem}
        for path, result in status_iterator(results, "executing pages... ", **shown):
            if result.err is None:
                record = {"execution_seconds": result.time}
                bundle = CacheBundleIn(result.nb, str(path), data=record)
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def pages_with_changed_imports(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pages to read again although their text is the same."""
    recorded = {
        page: metadata["kernelspec"][IMPORTS]
        for page, metadata in env.metadata.items()
        if IMPORTS in metadata.get("kernelspec", {})
    }
    return [page for page, was in recorded.items() if HERE.key(was["names"]) != was["key"]]


def keep_some_executions(app: Sphinx, exception: Exception | None) -> None:
    """Let the oldest go when there are many."""
    get_cache(app.env.mystnb_config.execution_cache_path).change_cache_limit(KEPT_EXECUTIONS)


def widen_fonts(app: Sphinx, exception: Exception | None) -> None:
    """Name, for the maths in pictures, a font of the same widths that other systems have."""
    for picture in (Path(app.outdir) / "_images").glob("*.svg"):
        text = picture.read_text(encoding="utf-8")
        wider = text.replace(MATHS_FONT, MATHS_FONT.replace(";", ", Verdana, sans-serif;"))
        if wider != text:
            picture.write_text(wider, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    execute.NotebookClientCache = ImportsClient
    execute.cache.single_nb_execution = run
    app.connect("env-get-outdated", pages_with_changed_imports)
    app.connect("env-before-read-docs", execute_together)
    app.connect("build-finished", keep_some_executions)
    app.connect("build-finished", widen_fonts)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels inherit it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
