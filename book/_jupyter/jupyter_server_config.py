"""How `make lab` and `make edit` open pages: what a page hides is folded.

The fold is left out when a page is saved (see `jupytext.toml`).
"""

import sys
from pathlib import Path

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupytext import build_async_jupytext_contents_manager_class

sys.path.append(str(Path(__file__).parents[1] / "_ext"))

from lossviz_folding import fold


class FoldingContentsManager(build_async_jupytext_contents_manager_class(AsyncLargeFileManager)):
    """Opens pages in Markdown as notebooks."""

    async def get(self, path, *args, **options):
        """The model of a file or a folder."""
        model = await super().get(path, *args, **options)
        if model["type"] == "notebook" and model["content"] and path.endswith(".md"):
            for cell in model["content"]["cells"]:
                fold(cell)
        return model


c.ServerApp.contents_manager_class = FoldingContentsManager  # noqa: F821
