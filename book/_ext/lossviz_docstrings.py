"""Shows docstrings as they are written: underlined sections hold sentences, not lists of types.

napoleon would read every word of a sentence under "Returns" or "Raises" as the name of a type and
look for its page. Here a section's title becomes a rubric, and ``name : text`` under "Parameters" a
definition; the rest is reStructuredText already.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

PARAMETER = re.compile(r"(\w+(?:, \w+)*) : (.*)")


def show_sections(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Rewrite the lines of one docstring in place."""
    source, section, shown = list(lines), "", list[str]()
    for line, below in zip(source, [*source, ""][1:], strict=True):
        if line and below == "-" * len(line):
            section = line
            shown += [f".. rubric:: {line}", ""]
        elif line == "-" * len(section) and section:
            continue
        elif section == "Parameters" and (found := PARAMETER.fullmatch(line)):
            shown += [f"``{found[1]}``", f"    {found[2]}"]
        else:
            shown.append(line)
    lines[:] = shown


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", show_sections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
