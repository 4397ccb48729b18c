"""Written by `make stubs` from the declarations; a test keeps it fresh. Do not edit."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import torch

from ..declaration.facts import Fact as Fact
from ..declaration.form import SymbolicForm as SymbolicForm
from ..declaration.inputs import Argument as Argument
from ..declaration.inputs import Inputs as Inputs
from ..declaration.loss import Gradient as Gradient
from ..declaration.loss import Loss as Loss
from ..declaration.parameter import Parameter as Parameter
from ..declaration.parameter import number as number
from ..declaration.shell import declare as declare
from ..declaration.source import Source as Source
from .logits.adaptive import RememberedTemperature as RememberedTemperature
from .logits.adaptive import adapted_temperature as adapted_temperature
from .logits.robust import normalise_scores as normalise_scores
from .masks.skeletons import soft_skeleton as soft_skeleton

Reduction: TypeAlias = Literal["none", "mean", "sum"]

LOSSES: Mapping[str, Loss]

def cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def comp_sum(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    tau: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def sum_exponential(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def logistic(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def generalized_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    q: float = 0.7,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def mae(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def focal(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def poly_1(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    epsilon: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def symmetric_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def symmetric_ce(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    alpha: float = 0.5,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def unlikelihood(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def entropy_bonus(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    beta: float = 0.01,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def renyi_2_bonus(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    beta: float = 0.01,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def brier(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def spherical_score(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ldr_kl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam: float = 1.0,
    margin: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def aldr_kl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    lam0: float = 1.0,
    alpha: float = 2.0,
    margin: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def balanced_softmax_ce(
    logits: torch.Tensor,
    target: torch.Tensor,
    class_counts: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ordinal_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def gaussian_nll(
    mean: torch.Tensor,
    y: torch.Tensor,
    var: torch.Tensor,
    *,
    eps: float = 1e-06,
    full: bool = False,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def dice(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    smooth: float = 1.0,
    squared: bool = False,
    pooled: bool = False,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def dsc_elementwise(
    probability: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 1.0,
    gamma: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def tversky_elementwise(
    probability: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def soft_cldice(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    smooth: float = 1.0,
    skeleton_iterations: int = 10,
    pooled: bool = False,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...

class CrossEntropy(torch.nn.Module):
    weight: torch.Tensor | None
    label_smoothing: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        weight: torch.Tensor | None = None,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class CompSum(torch.nn.Module):
    tau: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        tau: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class SumExponential(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Logistic(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class GeneralizedCrossEntropy(torch.nn.Module):
    q: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        q: float = 0.7,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Mae(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Focal(torch.nn.Module):
    gamma: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        gamma: float = 2.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Poly1(torch.nn.Module):
    epsilon: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class SymmetricCrossEntropy(torch.nn.Module):
    alpha: float
    beta: float
    log_zero: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.1,
        beta: float = 1.0,
        log_zero: float = -4.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class SymmetricCe(torch.nn.Module):
    alpha: float
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.5,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
    ) -> torch.Tensor: ...

class Unlikelihood(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class EntropyBonus(torch.nn.Module):
    beta: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        beta: float = 0.01,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Renyi2Bonus(torch.nn.Module):
    beta: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        beta: float = 0.01,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Brier(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class SphericalScore(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class LdrKl(torch.nn.Module):
    lam: float
    margin: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        lam: float = 1.0,
        margin: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class AldrKl(torch.nn.Module):
    lam0: float
    alpha: float
    margin: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        lam0: float = 1.0,
        alpha: float = 2.0,
        margin: float = 0.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class BalancedSoftmaxCe(torch.nn.Module):
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        class_counts: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        class_counts: torch.Tensor,
    ) -> torch.Tensor: ...

class OrdinalCrossEntropy(torch.nn.Module):
    weight: torch.Tensor | None
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        weight: torch.Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class GaussianNll(torch.nn.Module):
    eps: float
    full: bool
    reduction: str
    def __init__(
        self,
        *,
        eps: float = 1e-06,
        full: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        mean: torch.Tensor,
        y: torch.Tensor,
        var: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        mean: torch.Tensor,
        y: torch.Tensor,
        var: torch.Tensor,
    ) -> torch.Tensor: ...

class Dice(torch.nn.Module):
    smooth: float
    squared: bool
    pooled: bool
    reduction: str
    def __init__(
        self,
        *,
        smooth: float = 1.0,
        squared: bool = False,
        pooled: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probabilities: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probabilities: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class DscElementwise(torch.nn.Module):
    alpha: float
    gamma: float
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 1.0,
        gamma: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class TverskyElementwise(torch.nn.Module):
    alpha: float
    beta: float
    gamma: float
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class SoftCldice(torch.nn.Module):
    smooth: float
    skeleton_iterations: int
    pooled: bool
    reduction: str
    def __init__(
        self,
        *,
        smooth: float = 1.0,
        skeleton_iterations: int = 10,
        pooled: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probabilities: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probabilities: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

def get(key: str) -> Loss: ...
def names(family: str | None = None) -> tuple[str, ...]: ...
