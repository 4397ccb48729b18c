"""From a key of the spec sheets to a call of the public API: the table `CALLS`.

``CALLS[key](inputs, params, reduction)`` computes what a reference vector of that key expects:

- `inputs`: float64 and int64 tensors by the names in the file, lists where they make no tensor;
- `params`: as in the file; a ``case`` is only a label;
- `reduction`: the record's text, meant literally if it is "none", "mean" or "sum", else prose.

Back comes the value, or a dictionary of values by the names in the file. The table never sees what
is expected. Aliases, parts, gradients and quirks of published code are computed here, on top of
the function that they belong to. What the modules of the table share is in `adapters.py`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

# A package of their own lets the parts find each other wherever this file is loaded from.
PACKAGE = ModuleType("spec_tables")
PACKAGE.__path__ = [str(Path(__file__).parent)]
sys.modules[PACKAGE.__name__] = PACKAGE

PARTS = (
    "theory",
    "dynamics",
    "calibration",
    "collapse",
    "entropy",
    "inside",
    "representation",
    "sequence",
    "comparisons",
    "overlap",
    "tasks",
    "pixels",
    "teachers",
    "preferences",
)
TABLES = [import_module(f"{PACKAGE.__name__}.{part}").CALLS for part in PARTS]
CALLS = {key: call for table in TABLES for key, call in table.items()}
