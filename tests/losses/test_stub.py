"""Editors and type checkers know the losses: the stub is fresh, and it refuses nonsense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lossviz import losses
from lossviz.declaration.stub import stub

mypy = pytest.importorskip("mypy.api", reason="mypy comes with the lint extra")

STUB = Path(losses.__file__).with_suffix(".pyi")
GOOD = """
import torch
from lossviz.losses import CompSum, comp_sum, get, soft_skeleton

x, y = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)
comp_sum(x, y, tau=1.5, ignore_index=-1, reduction="sum")
CompSum(tau=1.5, reduction="none")(x, y)
get("comp_sum").title
soft_skeleton(x, iterations=3)
"""
BAD = {
    'comp_sum(x, y, tau="steep")': 'incompatible type "str"',
    "comp_sum(x, y, 1.5)": "positional arguments",
    "comp_sum(x)": 'Missing positional argument "target"',
    'comp_sum(x, y, reduction="average")': "incompatible type",
    "comp_sum(x, y, temperature=1.0)": 'Unexpected keyword argument "temperature"',
    'CompSum(tau="steep")': 'incompatible type "str"',
    "CompSum()(x)": 'Missing positional argument "target"',
    "get(3)": 'incompatible type "int"',
}


def test_the_stub_is_what_the_declarations_give():
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--line-length", "100", "--stdin-filename",
         "x.pyi", "-"],
        input=stub(losses, losses.LOSSES), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert STUB.read_text(encoding="utf-8") == formatted, "run `make stubs`"


def checked(source: str, folder: Path) -> str:
    """What mypy says of a program; torch itself is not followed, which would take a minute."""
    (folder / "mypy.ini").write_text(
        "[mypy]\n[mypy-torch.*]\nfollow_imports = skip\nignore_missing_imports = true\n"
    )
    program = folder / "program.py"
    program.write_text(source)
    told, _, _ = mypy.run(
        ["--config-file", str(folder / "mypy.ini"), "--cache-dir", str(folder / "cache"),
         "--follow-imports", "silent", str(program)]
    )  # fmt: skip
    return told


def test_a_type_checker_takes_what_is_right_and_refuses_what_is_not(tmp_path):
    right = GOOD.strip().splitlines()
    wrong = list(BAD)
    told = checked("\n".join([*right, *wrong]) + "\n", tmp_path)
    for number, (line, complaint) in enumerate(BAD.items(), len(right) + 1):
        said = [text for text in told.splitlines() if f"program.py:{number}:" in text]
        assert any(complaint in text for text in said), f"{line}: {said or told}"
    assert not [n for n in range(1, len(right) + 1) if f"program.py:{n}:" in told], told
