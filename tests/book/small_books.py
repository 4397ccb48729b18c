"""Books of a page or two with the real book's settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from lossviz.widgets import runtime

from .extensions import ROOT

MADE = {runtime.BUNDLE: str(ROOT / "_build" / "html" / "_static" / "vendor" / runtime.VEGA)}
"""Where the book itself has the bundle of scripts that each small book would make anew."""

PACKAGE = {
    "constraints.txt": "",
    "lossviz/__init__.py": "",
    "lossviz/first.py": '"""One."""\nvalue = 1\n',
    "lossviz/second.py": "value = 2\n",
    "lossviz/third.py": "value = 3\n",
}
PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
---

# Page

```{code-cell}
CODE
```
"""


def prepare(folder: Path) -> Path:
    """A book without pages beside a small package; the atlas stays at home."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    settings["sphinx"]["config"]["extensions"].remove("lossviz_atlas")
    (folder / "_config.yml").write_text(yaml.safe_dump(settings))
    for name in ("book/_ext", "book/_static"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    for name, text in PACKAGE.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def write(book: Path, **pages: str) -> None:
    """Pages by name, with the code of their cells."""
    for name, code in pages.items():
        (book / "book" / f"{name}.md").write_text(PAGE.replace("CODE", code))
    root, *others = pages
    contents: dict[str, object] = {"format": "jb-book", "root": f"book/{root}"}
    if others:
        contents["chapters"] = [{"file": f"book/{name}"} for name in others]
    (book / "_toc.yml").write_text(yaml.safe_dump(contents))


def build(book: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", ".", "-W", "-n", "--keep-going"]
    return subprocess.run(
        command,
        cwd=book,
        env=os.environ | MADE | environment,
        capture_output=True,
        text=True,
        check=False,
    )
