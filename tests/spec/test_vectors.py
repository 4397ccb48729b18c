"""Reference vectors of the spec sheets, through the table of calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from .calls import CALLS, TABLES
from .not_yet import NOT_YET

Record = dict[str, Any]
SAMPLES: dict[str, list[Record]] = json.loads(Path(__file__).with_name("samples.json").read_text())
KEYS = {record["key"] for records in SAMPLES.values() for record in records}


def as_input(value: Any) -> Any:
    """A float64 or int64 tensor if the value makes one, else the value."""
    try:
        tensor = torch.tensor(value)
        # once more: the first one rounded to the default dtype
        return torch.tensor(value, dtype=torch.float64) if tensor.is_floating_point() else tensor
    except (TypeError, ValueError, RuntimeError):
        return value


def tolerances(record: Record) -> tuple[float, float]:
    """Relative and absolute; the sheets name them in three ways."""
    if "tol" in record:
        return record["tol"], record["tol"]
    return record.get("rtol", 1e-6), record.get("atol", 1e-9)


def assert_agrees(got: Any, expected: Any, rtol: float, atol: float, where: str) -> None:
    """Equal in structure, and each number to the larger of the two tolerances."""
    if isinstance(got, torch.Tensor):
        got = got.tolist()
    if isinstance(expected, dict):
        assert got and set(got) <= set(expected), f"{where}: {sorted(got)} of {sorted(expected)}"
        for name in got:
            assert_agrees(got[name], expected[name], rtol, atol, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(got) == len(expected), where
        for n, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
            assert_agrees(mine, theirs, rtol, atol, f"{where}[{n}]")
    elif expected is None:
        assert got is None, where
    else:
        theirs = float(expected)  # "inf" is a string in JSON
        off = abs(got - theirs)
        assert got == theirs or off <= max(atol, rtol * abs(theirs)), f"{where}: {got}, {theirs}"


COMPUTED = [
    pytest.param(record, id=f"{sheet}-{record['key']}")
    for sheet, records in SAMPLES.items()
    for record in records
    if record["key"] in CALLS
]


@pytest.mark.parametrize("record", COMPUTED)
def test_a_call_reproduces_its_vector(record: Record) -> None:
    inputs = {name: as_input(value) for name, value in record["inputs"].items()}
    got = CALLS[record["key"]](inputs, record["params"], record["reduction"])
    assert_agrees(got, record["expected"], *tolerances(record), record["key"])


def test_every_key_of_the_sheets_is_computed_or_listed_as_missing() -> None:
    assert set(CALLS) | set(NOT_YET) == KEYS


def test_no_key_is_computed_and_missing_or_said_twice() -> None:
    said = [*NOT_YET, *(key for table in TABLES for key in table)]
    assert sorted(said) == sorted(set(said))
