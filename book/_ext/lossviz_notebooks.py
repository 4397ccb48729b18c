"""The notebook that a page with code hands out: what the page shows, in plain Markdown, to be run.

It lies beside the page's source in the site. Prose comes from the page's resolved document tree, so
that numbers, citations and references stand in it (see `lossviz_markdown`); code cells come from
the executed notebook, and what the page hides is folded. Where the theme's ``repository_url`` is an
address on GitHub, buttons open the notebook on Binder and Colab, from the branch of the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from lossviz_folding import fold
from lossviz_imports import IMPORTS
from lossviz_markdown import Markdown
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

# What the build alone needs, and widgets without their state.
FOR_THE_BUILD = (
    "application/papermill.record/",
    "application/vnd.lossviz.",
    "application/vnd.jupyter.widget-view",
)
WELCOME = """*A page of the book lossviz, as a notebook. Change what you like: the book stays as it
is, and a copy that is spoilt can be deleted and fetched again. Outside the book's environment the
next cell installs what the others need.*"""
INSTALL = """from importlib.util import find_spec

if not all(map(find_spec, ["lossviz", "myst_nb", "sklearn"])):
    %pip install --quiet "lossviz[book]\""""
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
LAUNCHERS = {
    "Binder": (
        "https://mybinder.org/v2/gh/{repository}/gh-pages?urlpath=lab/tree/{path}",
        "_static/images/logo_binder.svg",
    ),
    "Colab": (
        "https://colab.research.google.com/github/{repository}/blob/gh-pages/{path}",
        "_static/images/logo_colab.png",
    ),
}


def executed(app: Sphinx, page: str) -> Path:
    """Where the build leaves a page's executed notebook, if the page has code."""
    return Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"


def offer_notebook(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Write the notebook of a page beside its source, for the page's download button."""
    if doctree is None or not executed(app, pagename).exists():
        return
    notebook = nbformat.read(executed(app, pagename), as_version=4)
    for part in ("jupytext", "widgets"):
        notebook.metadata.pop(part, None)
    notebook.metadata.get("kernelspec", {}).pop(IMPORTS, None)
    notebook.cells = list(readable(app, pagename, doctree, notebook.cells))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    offered = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    offered.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, offered)
    context["ipynb_source"] = f"{pagename}.ipynb"


def readable(
    app: Sphinx, page: str, doctree: nodes.document, cells: list[NotebookNode]
) -> Iterator[NotebookNode]:
    """The cells of the notebook: prose cut at headings and at the code between."""
    writer = Markdown(app, page, lambda uri: address(app, page, uri))
    code = {index: cell for index, cell in enumerate(cells) if cell.cell_type == "code"}
    prose: list[nodes.Node] = []

    def told() -> Iterator[NotebookNode]:
        text = writer.blocks(prose)
        prose.clear()
        if text:
            yield new_markdown_cell(text)

    yield new_markdown_cell(WELCOME)
    yield tidied(new_code_cell(INSTALL, metadata={"tags": ["hide-input"]}))
    for node in unfolded(doctree):
        if isinstance(node, nodes.title):
            yield from told()
        if node.get("nb_element") == "cell_code":
            yield from told()
            for index in [index for index in code if index <= node["cell_index"]]:
                yield tidied(code.pop(index))
        else:
            prose.append(node)
    yield from told()
    yield from map(tidied, code.values())
    if writer.works:
        yield new_markdown_cell(f"## Works cited\n\n{writer.bibliography()}")


def unfolded(node: nodes.Element) -> Iterator[nodes.Node]:
    """What a page holds, without its sections around it."""
    for child in node.children:
        if isinstance(child, nodes.section):
            yield from unfolded(child)
        else:
            yield child


def address(app: Sphinx, page: str, uri: str) -> str | None:
    """Where a page's link leads from its notebook: to another notebook, or to the site."""
    if "://" in uri or uri.startswith("mailto:"):
        return uri
    path, _, place = uri.partition("#")
    here = posixpath.dirname(page)
    target = posixpath.normpath(posixpath.join(here, path)).removesuffix(".html")
    if path and executed(app, target).exists():
        return posixpath.relpath(target, here or ".") + ".ipynb"
    site = app.config.html_baseurl
    shown = app.builder.get_target_uri(target if path else page)
    return posixpath.join(site, f"{shown}#{place}".rstrip("#")) if site else None


def tidied(cell: NotebookNode) -> NotebookNode:
    """A code cell folded as the page folds it, without what the build alone needs."""
    fold(cell)
    for output in cell.outputs:
        for kind in [kind for kind in output.get("data", {}) if kind.startswith(FOR_THE_BUILD)]:
            del output.data[kind]
    cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    return cell


def repository(app: Sphinx) -> str:
    """Owner and name of the repository on GitHub, or nothing where no address is set.

    Raises ConfigError for another address.
    """
    address = app.config.html_theme_options.get("repository_url", "")
    found = GITHUB.fullmatch(address)
    if address and not found:
        raise ConfigError(
            f"repository_url must be https://github.com/OWNER/NAME or empty, got {address!r}"
        )
    return found[1] if found else ""


def add_launchers(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the buttons that run a page's notebook elsewhere behind its other buttons."""
    if not repository(app) or "ipynb_source" not in context:
        return
    place = {"repository": repository(app), "path": f"_sources/{context['ipynb_source']}"}
    buttons = [
        {
            "type": "link",
            "text": name,
            "tooltip": f"Run this page on {name}",
            "icon": icon,
            "url": url.format(**place),
        }
        for name, (url, icon) in LAUNCHERS.items()
    ]
    context["header_buttons"].append(
        {
            "type": "group",
            "tooltip": "Run this page",
            "icon": "fas fa-rocket",
            "buttons": buttons,
            "label": "launch-buttons",
        }
    )


def require_the_book(app: Sphinx, exception: Exception | None) -> None:
    """Say in the site what Binder has to install."""
    if exception is None and repository(app):
        wanted = f"lossviz[book] @ git+https://github.com/{repository(app)}\n"
        (Path(app.outdir) / "requirements.txt").write_text(wanted, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("builder-inited", repository)
    app.connect("html-page-context", offer_notebook, priority=400)  # before the theme's buttons
    app.connect("html-page-context", add_launchers, priority=502)  # behind them
    app.connect("build-finished", require_the_book)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
