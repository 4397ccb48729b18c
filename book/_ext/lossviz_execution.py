"""How chapters are executed: cached under the content of the package, on one thread.

The cache itself compares the code of the cells alone, so that a number computed by the package of
last week would stay on the page. Here its folder is named after the content of the package and of
the exact versions; a change of either starts an empty cache, and the old one goes. One thread,
because sums then add up in the same order on every machine, and because threads of small
computations spend their time waiting for one another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

SOURCES = ("lossviz", "kernels", "constraints.txt")


def content_key(root: Path, names: Iterable[str] = SOURCES) -> str:
    """Sixteen hexadecimal digits that change with any file under `names`, bytecode left out."""
    digest = hashlib.sha256()
    for name in names:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).digest()
                digest.update(path.relative_to(root).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def use_keyed_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb to the cache of the present content and remove those of other content."""
    caches = Path(app.outdir).parent / ".jupyter_cache"
    current = caches / content_key(Path(app.srcdir))
    if caches.is_dir():
        for other in caches.iterdir():
            if other != current:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
    config.nb_execution_cache_path = str(current)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension."""
    app.connect("config-inited", use_keyed_cache)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels inherit it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
