"""A second import of the kernels leaves the operators of the first alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2]
PROGRAM = """
import gc, importlib, sys
import torch
from lossviz.kernels import linear_cross_entropy

names = ("row_sums", "row_sums_backward", "mean_weight_gradient", "reduced_loss")
operators = [getattr(torch.ops.lossviz, name).default for name in names]
x, w = (torch.ones(shape, requires_grad=True) for shape in ((4, 3), (5, 3)))
y = torch.arange(4)


def steps(loss):
    for reduction in ("mean", "none"):
        loss(x, w, y, reduction=reduction).sum().backward()


def forget(package):
    for name in list(sys.modules):
        if name == package or name.startswith(package + "."):
            del sys.modules[name]
    gc.collect()


steps(linear_cross_entropy)
if sys.argv[1] == "lossviz.kernels":
    forget("lossviz.kernels")
second = importlib.import_module(sys.argv[1]).linear_cross_entropy
assert second is not linear_cross_entropy
steps(second)
del second
forget(sys.argv[1])
found = [getattr(torch.ops.lossviz, name).default for name in names]
assert all(now is before for now, before in zip(found, operators, strict=True))
steps(linear_cross_entropy)
"""


@pytest.mark.parametrize("name", ["kernels", "lossviz.kernels"])
def test_a_second_import_that_is_dropped_frees_no_operator_of_the_first(name: str) -> None:
    """As other libraries import `kernels` to ask its version; in a process that may crash."""
    run = [sys.executable, "-c", PROGRAM, name]
    done = subprocess.run(run, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
