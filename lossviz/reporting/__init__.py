"""`lossviz.report` and the command of the same name: can these predictions be trusted?

Files are read by blocks of rows (`inputs`, `arrays`, `tables`), passed over once (`rows`), turned
into numbers (`summary`, `calibrators`, `suspicions`) and into one page (`page`, `drawing`). Logs of
reinforcement learning have a page of their own (`runs`, `run_summary`, `run_page`).
"""

from __future__ import annotations

from .arrays import InputError
from .command import main, report
from .summary import Summary

__all__ = ["InputError", "Summary", "main", "report"]
