"""Makes the built site self-contained: its scripts lie in it, and widget state does not.

Scripts come out of installed packages into ``_static/vendor`` of the site, never into the
repository. Widget state is of use only with a kernel or the widgets' own manager; the site has
neither, and each live figure would drag its whole runtime into the page.
"""

from __future__ import annotations

import os
import shutil
import warnings
from importlib.metadata import files
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from lossviz.widgets.runtime import BUNDLE, VEGA, page_scripts

MATHJAX = "sphinx-mathjax-offline"
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2/", "input/tex/extensions/")

# From file:// a page may not read its neighbours, which the summaries of search results need.
NO_SUMMARY = "DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY &&= location.protocol !== 'file:';"


def vendor_scripts(app: Sphinx) -> None:
    """Write MathJax and the runtime of live figures into the site."""
    if app.builder.format != "html":
        return
    vendor = Path(app.outdir) / "_static" / "vendor"
    copy_mathjax(vendor / "mathjax")
    for name, text in page_scripts().items():
        (vendor / name).write_text(text, encoding="utf-8")
    os.environ[BUNDLE] = str(vendor / VEGA)  # kernels inherit it


def copy_mathjax(target: Path) -> None:
    """Copy MathJax's combined script, its fonts and the TeX extensions that it loads on demand."""
    for file in files(MATHJAX) or ():
        _, found, inner = file.as_posix().partition("/static/mathjax/")
        if found and inner.startswith(MATHJAX_PARTS):
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target / inner)


def drop_widget_state(app: Sphinx, doctree: nodes.document) -> None:
    """Remove the widget state that the page would carry in its head."""
    page = getattr(app.env, "nb_metadata", {}).get(app.env.docname, {})
    page.get("js_files", {}).pop("ipywidgets_state", None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    # An extension asks every object in memory for its class, and one of torch's warns of itself.
    warnings.filterwarnings("ignore", "`torch.distributed.reduce_op`", FutureWarning)
    app.connect("builder-inited", vendor_scripts)
    app.connect("doctree-read", drop_widget_state)
    app.add_js_file(None, body=NO_SUMMARY)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
