"""The scripts that live figures need in a browser, made from installed packages alone."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import vl_convert

_EXPORT = "export default { render };"
VEGA = "lossviz-vega.js"
BUNDLE = "LOSSVIZ_VEGA"
"""The environment may name a file with what is bundled: making it takes longer than most figures.

The build of the book makes it once for all its kernels.
"""


def page_scripts() -> dict[str, str]:
    """Classic scripts for a static page, by file name, in the order in which they must load.

    The first sets ``window.lossvizVega = {parse, View}``, the second
    ``window.lossvizLive = {render}``. Classic, because a page opened as a file cannot load modules.
    """
    live = _live_module().replace(_EXPORT, "window.lossvizLive = { render };")
    return {
        VEGA: _vega(),
        "lossviz-live.js": f"(() => {{\n{live}}})();\n",
    }


@functools.cache
def esm() -> str:
    """The same two as one module for anywidget."""
    return f"{_vega()}\n{_live_module()}"


@functools.cache
def _vega() -> str:
    made = Path(os.environ.get(BUNDLE, ""))
    if made.is_file():
        return made.read_text(encoding="utf-8")
    # The converter carries Vega's modules under the addresses that its pages name; imported by
    # address, the parser and the view come without Vega-Lite and Vega-Embed, a third of the size.
    match = re.search(r'src="(https://[^"]+/)vega@', vl_convert.vega_to_html({"marks": []}))
    if match is None:
        raise RuntimeError("vl_convert names Vega's modules in a way that is not known here")
    address = f"{match[1]}vega@{vl_convert.get_vega_version()}/+esm"
    bundle = vl_convert.javascript_bundle(
        f'import {{ parse, View }} from "{address}"; window.lossvizVega = {{ parse, View }};'
    )
    # A function keeps the bundle's names to itself; several figures of a notebook share one copy.
    return f"if (!window.lossvizVega) (() => {{\n{bundle}\n}})();\n"


def _live_module() -> str:
    text = Path(__file__).with_name("live.js").read_text(encoding="utf-8")
    if not text.endswith(f"{_EXPORT}\n"):
        raise RuntimeError(f"live.js must end with {_EXPORT!r}")
    return text
