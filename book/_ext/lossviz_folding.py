"""What a page hides is folded in a notebook."""

from __future__ import annotations

from nbformat import NotebookNode

FOLDED = {
    "hide-input": {"source_hidden": True},
    "hide-output": {"outputs_hidden": True},
    "hide-cell": {"source_hidden": True, "outputs_hidden": True},
}


def fold(cell: NotebookNode) -> None:
    """Fold a cell in place as its tags say."""
    for tag in FOLDED.keys() & cell.metadata.get("tags", ()):
        cell.metadata.setdefault("jupyter", {}).update(FOLDED[tag])
