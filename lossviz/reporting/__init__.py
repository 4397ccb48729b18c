"""`lossviz.report` and the command of the same name: can these predictions be trusted?

Files are read by blocks of rows (`inputs`, `arrays`, `tables`, `answers`), passed over once
(`rows`), turned into numbers (`summary`, `calibrators`, `suspicions`) and into one page (`page`,
`drawing`). `part` and `join` do the same for shards on many machines (`shards`). Logs of
reinforcement learning have a page of their own (`runs`, `run_summary`, `run_page`).
"""

from __future__ import annotations

from .arrays import InputError
from .command import main, report
from .shards import Part, join, part
from .summary import Summary

__all__ = ["InputError", "Part", "Summary", "join", "main", "part", "report"]
