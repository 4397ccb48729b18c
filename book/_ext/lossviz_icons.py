"""Keeps of the theme's icons those that the site shows: a third of a megabyte less on every page.

The theme ships all of Font Awesome as one script, an object literal with an entry an icon. Entries
that no page and no script names are cut out of the copy in the site.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

SCRIPT = "scripts/fontawesome.js"
THEME = "theme/pydata_sphinx_theme/static"
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
ENTRY = re.compile(
    r'"?(?P<name>[\w-]+)"?:\[\d+,\d+,\[(?P<aliases>[^\]]*)\],"[0-9a-f]+",'
    r'(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?'
)


def keep_icons(script: str, names: set[str]) -> str:
    """The script with the entries of `names`, by name or alias, and no others."""

    def kept(entry: re.Match[str]) -> str:
        aliases = re.findall(r'"([\w-]+)"', entry["aliases"])
        return entry[0] if names.intersection([entry["name"], *aliases]) else ""

    return ENTRY.sub(kept, script)


def trim_icons(app: Sphinx, exception: Exception | None) -> None:
    """Write the trimmed script over the full one in the site."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    target = site / "_static" / SCRIPT
    names = {"circle-question"}  # drawn in the place of an unknown icon
    for path in [*site.rglob("*.html"), *site.rglob("*.js")]:
        if path != target:
            names.update(NAME.findall(path.read_text(encoding="utf-8")))
    full = files("pydata_sphinx_theme").joinpath(THEME, SCRIPT).read_text(encoding="utf-8")
    target.write_text(keep_icons(full, names), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("build-finished", trim_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
