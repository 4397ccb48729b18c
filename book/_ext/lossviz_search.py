"""What the search of the site looks in: the prose of the pages, not their code.

Chapters and the API say a word like ``label`` or ``temperature`` most often in code, where it is
the name of something; a search for it would lead there first. Functions are still found by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

import sphinx.search
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.search import IndexBuilder

CODE = (nodes.literal_block, nodes.doctest_block, addnodes.desc)
CELLS = {"cell_input", "cell_output"}


def prose(doctree: nodes.document) -> nodes.document:
    """The page without its code, what code printed, and the descriptions of functions."""
    kept = doctree.deepcopy()
    for node in [*kept.findall(_is_code)]:
        if node.parent is not None:
            node.parent.remove(node)
    return kept


def _is_code(node: nodes.Node) -> bool:
    return isinstance(node, CODE) or (
        isinstance(node, nodes.container) and not CELLS.isdisjoint(node["classes"])
    )


class ProseIndex(IndexBuilder):
    """Sphinx's index, which sees prose alone and does not forget the entries of unchanged pages."""

    def load(self, stream: IO[str], format: Any) -> None:
        super().load(stream, format)
        stream.seek(0)
        frozen = format.load(stream)
        self._index_entries = {page: [] for page in frozen["docnames"]}
        for entry, places in frozen["indexentries"].items():
            for page, target, main in places:
                found = (entry, target, "main" if main else "")
                self._index_entries[frozen["docnames"][page]].append(found)

    def prune(self, docnames: Iterable[str]) -> None:
        kept = set(docnames)
        super().prune(kept)
        self._index_entries = {
            page: entries for page, entries in self._index_entries.items() if page in kept
        }

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        super().feed(docname, filename, title, prose(doctree))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    sphinx.search.IndexBuilder = ProseIndex  # type: ignore[misc]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
