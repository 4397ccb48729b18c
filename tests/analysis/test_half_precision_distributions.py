"""Probabilities that sum to 1 only up to their rounding pass wherever a distribution is taken."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

import lossviz
from lossviz import analysis, losses
from lossviz.analysis import MEASURES
from lossviz.analysis.alignment import distribution
from lossviz.analysis.attempts import resampling_reward
from lossviz.analysis.confidence import class_probabilities
from lossviz.analysis.entropies import entropy_bounds
from lossviz.declaration.kinds import DISTRIBUTIONS
from lossviz.losses import LOSSES, c51_projection
from lossviz.theory.checks import check_distribution

HALF = (torch.float16, torch.bfloat16)
CHECKS = {
    "theory.checks.check_distribution": lambda p: check_distribution("p", p),
    "analysis.alignment.distribution": lambda p: distribution("p", p),
    "analysis.attempts.resampling_reward": lambda p: resampling_reward(
        torch.full((len(p),), 0.5), p, attempts=2
    ),
    "analysis.confidence.class_probabilities": lambda p: class_probabilities(
        p, kind="probabilities"
    ),
    "analysis.entropies.entropy_bounds": lambda p: entropy_bounds(p.log(), vocabulary=len(p)),
    "losses.logits.bins._check_distribution": lambda p: c51_projection(
        torch.linspace(-1, 1, len(p)), p, torch.linspace(-1, 1, 5)
    ),
}
DECLARED = [
    (one, argument.name)
    for one in (*LOSSES.values(), *MEASURES.values())
    for argument in one.inputs.arguments
    if DISTRIBUTIONS in (argument.kind, getattr(argument.otherwise, "kind", None))
]


def _name(part: object) -> str:
    return getattr(part, "key", str(part))


def refusals() -> set[str]:
    """Functions of the package that raise an error about a sum of one."""
    root, found = Path(lossviz.__file__).parent, set()
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(node, ast.Raise) and re.search("sums? to", ast.unparse(node))
                for node in ast.walk(function)
            ):
                found.add(f"{module}.{function.name}")
    return found


def rounded(classes: int, dtype: torch.dtype) -> torch.Tensor:
    """A softmax in half precision that is off by as much as the worst of a hundred."""
    generator = torch.Generator().manual_seed(classes)
    rows = torch.randn(100, classes, generator=generator).softmax(-1).to(dtype)
    return rows[(rows.double().sum(-1) - 1).abs().argmax()]


def test_every_check_of_a_sum_is_tried_here():
    assert refusals() == set(CHECKS)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("classes", [2, 3, 10, 51, 1000])
@pytest.mark.parametrize("check", CHECKS)
def test_a_softmax_in_half_precision_is_a_distribution(check, classes, dtype):
    CHECKS[check](rounded(classes, dtype))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("check", CHECKS)
def test_what_is_off_by_more_than_its_rounding_is_refused(check, dtype):
    with pytest.raises(ValueError, match="sum"):
        CHECKS[check](torch.tensor([0.5, 0.3, 0.3, 0.3], dtype=dtype))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(
    ("declared", "name"), DECLARED, ids=lambda case: getattr(case, "key", case)
)
def test_every_declared_argument_that_is_a_distribution_takes_half_precision(declared, name, dtype):
    function = getattr(losses if declared.key in LOSSES else analysis, declared.key)
    names = [argument.name for argument in declared.inputs.required]
    tensors = dict(zip(names, declared.inputs.example(K=10), strict=True))
    tensors[name] = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)).softmax(-1)
    narrow = {
        key: value.to(dtype) if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    exact = {
        key: value.double() if value.is_floating_point() else value for key, value in narrow.items()
    }
    exact[name] = exact[name] / exact[name].sum(-1, keepdim=True)
    found = function(*narrow.values()).double()
    torch.testing.assert_close(found, function(*exact.values()).double(), rtol=2e-2, atol=2e-3)
