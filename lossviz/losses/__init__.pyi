"""Written by `make stubs` from the declarations; a test keeps it fresh. Do not edit."""

from collections.abc import Sequence
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
from ..declaration.registry import Registry as Registry
from ..declaration.shell import declare as declare
from ..declaration.source import Source as Source
from .attacked import adv_comp_sum_at as adv_comp_sum_at
from .attacked import trades_at as trades_at
from .attacked import train_adv_comp_sum as train_adv_comp_sum
from .attacked import train_trades as train_trades
from .logits.adaptive import adapted_temperature as adapted_temperature
from .logits.bins import c51_projection as c51_projection
from .logits.bins import c51_target as c51_target
from .logits.bins import decode as decode
from .logits.bins import hl_gauss_target as hl_gauss_target
from .logits.bins import two_hot_target as two_hot_target
from .logits.ensemble import draw_lam as draw_lam
from .logits.ensemble import loss_derivatives as loss_derivatives
from .logits.noise import noise_scale as noise_scale
from .logits.noise import noisefit_hybrid_v2 as noisefit_hybrid_v2
from .logits.ordinal import corn_probabilities as corn_probabilities
from .logits.robust import normalise_scores as normalise_scores
from .masks.betti import BettiMatching as BettiMatching
from .masks.betti import betti_matching as betti_matching
from .masks.clouds import energy_distance as energy_distance
from .masks.clouds import frechet_distance as frechet_distance
from .masks.clouds import sinkhorn_divergence as sinkhorn_divergence
from .masks.propensity import gaussian_kernel as gaussian_kernel
from .masks.propensity import naive_bayes_propensities as naive_bayes_propensities
from .masks.skeletons import soft_skeleton as soft_skeleton
from .masks.thinning import cldice_score as cldice_score
from .masks.thinning import skeletonise as skeletonise
from .masks.thinning import tubed_skeleton as tubed_skeleton
from .masks.transduction import TransductiveTerms as TransductiveTerms
from .masks.transduction import repri as repri
from .tokens.entropies import adapted_coefficient as adapted_coefficient
from .tokens.entropies import clamped_entropy as clamped_entropy
from .tokens.forgetting import Subtracted as Subtracted
from .tokens.forgetting import logit_difference as logit_difference

Reduction: TypeAlias = Literal["none", "mean", "sum"]

LOSSES: Registry[Loss]

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
def emo(
    logits: torch.Tensor,
    target: torch.Tensor,
    embeddings: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ca_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    balanced: bool = False,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def z_loss(
    logits: torch.Tensor,
    *,
    coefficient: float = 0.0001,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def attention_entropy(
    weights: torch.Tensor,
    thresholds: torch.Tensor,
    *,
    margin: float = 0.2,
    coefficient: float = 1e-05,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def adv_comp_sum(
    logits: torch.Tensor,
    adversarial: torch.Tensor,
    target: torch.Tensor,
    *,
    tau: float = 1.0,
    rho: float = 1.0,
    nu: float = 1.0,
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
def spherical_z_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    a: float = 1.0,
    b: float = 0.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def taylor_softmax(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def spherical_softmax(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    eps: float = 0.0001,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def two_hot(
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def hl_gauss(
    logits: torch.Tensor,
    y: torch.Tensor,
    *,
    v_min: float = -10.0,
    v_max: float = 10.0,
    sigma_over_binwidth: float = 0.75,
    sigma: float | None = None,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def l2_svm(
    output: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    C: float = 0.5,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ensloss(
    output: torch.Tensor,
    target01: torch.Tensor,
    z_normal: torch.Tensor | None = None,
    *,
    lam: float = 0.0,
    clip: float = -1.0,
    eps: float = 1e-06,
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
def corn(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def bacs_weighted_ce(
    logits: torch.Tensor,
    target: torch.Tensor,
    seen: torch.Tensor,
    *,
    gamma: float = 2.0,
    threshold: float = 0.5,
    old_classes: int = 1,
    merged: bool = True,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def tri_bce(
    deep: torch.Tensor,
    shallow: torch.Tensor,
    target: torch.Tensor,
    *,
    detach_weights: bool = False,
) -> torch.Tensor: ...
def pld(
    student: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def tempered_kl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def binary_kl(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float = 2.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def binary_kl_norm(
    student: torch.Tensor,
    teacher: torch.Tensor,
    *,
    temperature: float = 2.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def dual_head(
    logits: torch.Tensor,
    copying: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 2.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def noisefit_hybrid(
    logits: torch.Tensor,
    noisy_1: torch.Tensor,
    noisy_2: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.5,
    lambda_consistency: float = 0.1,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def nt_xent(
    z1: torch.Tensor,
    z2: torch.Tensor,
    *,
    temperature: float = 0.1,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def arcface(
    embeddings: torch.Tensor,
    class_weights: torch.Tensor,
    target: torch.Tensor,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    beyond_pi: str = "none",
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def normalized_softmax(
    embeddings: torch.Tensor,
    class_weights: torch.Tensor,
    target: torch.Tensor,
    *,
    scale: float = 16.0,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def proto_triplet(
    queries: torch.Tensor,
    prototypes: torch.Tensor,
    target: torch.Tensor,
    *,
    margin: float = 0.5,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def opl(
    embeddings: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float = 0.5,
) -> torch.Tensor: ...
def icnn(
    embeddings: torch.Tensor,
    target: torch.Tensor,
    *,
    k: int = 4,
    rivals: int | None = None,
) -> torch.Tensor: ...
def decoupled_softmax(
    scores: torch.Tensor,
    relevance: torch.Tensor,
    *,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def soft_topk(
    scores: torch.Tensor,
    relevance: torch.Tensor,
    *,
    alpha: float = 2.0,
    k: int | None = None,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def mw_loss(
    scores: torch.Tensor,
    target: torch.Tensor,
    *,
    temperature: float = 0.01,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def pa_bce(
    scores: torch.Tensor,
    profit: torch.Tensor,
    *,
    top_k: int = 6,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def eisl(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    *,
    places: torch.Tensor | None = None,
    temperature: float = 1.0,
    log_prob_floor: float = -20.0,
    ngrams: Sequence[int] = (1, 2, 3, 4),
    weights: Sequence[float] | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def dpo(
    policy_chosen_logp: torch.Tensor,
    policy_rejected_logp: torch.Tensor,
    ref_chosen_logp: torch.Tensor,
    ref_rejected_logp: torch.Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def npo(
    policy_logp: torch.Tensor,
    ref_logp: torch.Tensor,
    *,
    beta: float = 0.1,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ihl(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def dco(
    log_probability: torch.Tensor,
    *,
    attempts: float = 8.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def clipped_surrogate(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 3.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def signed_reinforcement(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    right: torch.Tensor,
    *,
    positive: float = 0.1,
    negative: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def clip_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    draws: torch.Tensor | None = None,
    *,
    share: float = 0.0002,
    lowest: float = 1.0,
    highest: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def kl_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    *,
    share: float = 0.002,
    coefficient: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def alpha_divergence(
    logp: torch.Tensor,
    ref_logp: torch.Tensor,
    *,
    alpha: float = 0.2,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def jensen_shannon_term(
    logp: torch.Tensor,
    ref_logp: torch.Tensor,
    *,
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
def bmc_loss(
    prediction: torch.Tensor,
    y: torch.Tensor,
    *,
    noise_sigma: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def gai_loss(
    prediction: torch.Tensor,
    y: torch.Tensor,
    means: torch.Tensor,
    weights: torch.Tensor,
    variances: torch.Tensor,
    *,
    noise_sigma: float = 1.0,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def interpolating_bag_loss(
    predictions: torch.Tensor,
    response: torch.Tensor,
    *,
    rho: float = 0.5,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def ips_weighted_bce(
    probability: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    *,
    num_pairs: int | None = None,
    self_normalised: bool = False,
    reduction: Reduction = "mean",
) -> torch.Tensor: ...
def anyloss(
    probability: torch.Tensor,
    target: torch.Tensor,
    *,
    steepness: float = 73.0,
    beta: float = 1.0,
    score: str = "fbeta",
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
def focal_tversky(
    probabilities: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.7,
    gamma: float = 0.75,
    smooth: float = 1.0,
    pooled: bool = False,
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
def skeleton_recall(
    probabilities: torch.Tensor,
    skeleton: torch.Tensor,
    *,
    smooth: float = 0.0,
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

class Emo(torch.nn.Module):
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
        embeddings: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        embeddings: torch.Tensor,
    ) -> torch.Tensor: ...

class CaLoss(torch.nn.Module):
    balanced: bool
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        balanced: bool = False,
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

class ZLoss(torch.nn.Module):
    coefficient: float
    reduction: str
    def __init__(
        self,
        *,
        coefficient: float = 0.0001,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
    ) -> torch.Tensor: ...

class AttentionEntropy(torch.nn.Module):
    margin: float
    coefficient: float
    reduction: str
    def __init__(
        self,
        *,
        margin: float = 0.2,
        coefficient: float = 1e-05,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        weights: torch.Tensor,
        thresholds: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        weights: torch.Tensor,
        thresholds: torch.Tensor,
    ) -> torch.Tensor: ...

class AdvCompSum(torch.nn.Module):
    tau: float
    rho: float
    nu: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        tau: float = 1.0,
        rho: float = 1.0,
        nu: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        adversarial: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        adversarial: torch.Tensor,
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

class SphericalZLoss(torch.nn.Module):
    a: float
    b: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        a: float = 1.0,
        b: float = 0.0,
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

class TaylorSoftmax(torch.nn.Module):
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

class SphericalSoftmax(torch.nn.Module):
    eps: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        eps: float = 0.0001,
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

class TwoHot(torch.nn.Module):
    v_min: float
    v_max: float
    reduction: str
    def __init__(
        self,
        *,
        v_min: float = -10.0,
        v_max: float = 10.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...

class HlGauss(torch.nn.Module):
    v_min: float
    v_max: float
    sigma_over_binwidth: float
    sigma: float | None
    reduction: str
    def __init__(
        self,
        *,
        v_min: float = -10.0,
        v_max: float = 10.0,
        sigma_over_binwidth: float = 0.75,
        sigma: float | None = None,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...

class L2Svm(torch.nn.Module):
    weight: torch.Tensor | None
    C: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        weight: torch.Tensor | None = None,
        C: float = 0.5,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        output: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        output: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Ensloss(torch.nn.Module):
    lam: float
    clip: float
    eps: float
    reduction: str
    def __init__(
        self,
        *,
        lam: float = 0.0,
        clip: float = -1.0,
        eps: float = 1e-06,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        output: torch.Tensor,
        target01: torch.Tensor,
        z_normal: torch.Tensor | None = None,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        output: torch.Tensor,
        target01: torch.Tensor,
        z_normal: torch.Tensor | None = None,
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

class Corn(torch.nn.Module):
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

class BacsWeightedCe(torch.nn.Module):
    gamma: float
    threshold: float
    old_classes: int
    merged: bool
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        gamma: float = 2.0,
        threshold: float = 0.5,
        old_classes: int = 1,
        merged: bool = True,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        seen: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        seen: torch.Tensor,
    ) -> torch.Tensor: ...

class TriBce(torch.nn.Module):
    detach_weights: bool
    def __init__(
        self,
        *,
        detach_weights: bool = False,
    ) -> None: ...
    def forward(
        self,
        deep: torch.Tensor,
        shallow: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        deep: torch.Tensor,
        shallow: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Pld(torch.nn.Module):
    temperature: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class TemperedKl(torch.nn.Module):
    temperature: float
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 4.0,
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

class BinaryKl(torch.nn.Module):
    temperature: float
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 2.0,
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

class BinaryKlNorm(torch.nn.Module):
    temperature: float
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 2.0,
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

class DualHead(torch.nn.Module):
    alpha: float
    gamma: float
    temperature: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 2.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        copying: torch.Tensor,
        teacher: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        copying: torch.Tensor,
        teacher: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class NoisefitHybrid(torch.nn.Module):
    alpha: float
    lambda_consistency: float
    temperature: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.5,
        lambda_consistency: float = 0.1,
        temperature: float = 1.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        noisy_1: torch.Tensor,
        noisy_2: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        noisy_1: torch.Tensor,
        noisy_2: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class NtXent(torch.nn.Module):
    temperature: float
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 0.1,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        z1: torch.Tensor,
        z2: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        z1: torch.Tensor,
        z2: torch.Tensor,
    ) -> torch.Tensor: ...

class Arcface(torch.nn.Module):
    scale: float
    margin: float
    beyond_pi: str
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        beyond_pi: str = "none",
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        embeddings: torch.Tensor,
        class_weights: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        embeddings: torch.Tensor,
        class_weights: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class NormalizedSoftmax(torch.nn.Module):
    scale: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        scale: float = 16.0,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        embeddings: torch.Tensor,
        class_weights: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        embeddings: torch.Tensor,
        class_weights: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class ProtoTriplet(torch.nn.Module):
    margin: float
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        margin: float = 0.5,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        queries: torch.Tensor,
        prototypes: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        queries: torch.Tensor,
        prototypes: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Opl(torch.nn.Module):
    gamma: float
    def __init__(
        self,
        *,
        gamma: float = 0.5,
    ) -> None: ...
    def forward(
        self,
        embeddings: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        embeddings: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class Icnn(torch.nn.Module):
    k: int
    rivals: int | None
    def __init__(
        self,
        *,
        k: int = 4,
        rivals: int | None = None,
    ) -> None: ...
    def forward(
        self,
        embeddings: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        embeddings: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class DecoupledSoftmax(torch.nn.Module):
    reduction: str
    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        scores: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        scores: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor: ...

class SoftTopk(torch.nn.Module):
    alpha: float
    k: int | None
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 2.0,
        k: int | None = None,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        scores: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        scores: torch.Tensor,
        relevance: torch.Tensor,
    ) -> torch.Tensor: ...

class MwLoss(torch.nn.Module):
    temperature: float
    reduction: str
    def __init__(
        self,
        *,
        temperature: float = 0.01,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        scores: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        scores: torch.Tensor,
        target: torch.Tensor,
    ) -> torch.Tensor: ...

class PaBce(torch.nn.Module):
    top_k: int
    reduction: str
    def __init__(
        self,
        *,
        top_k: int = 6,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        scores: torch.Tensor,
        profit: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        scores: torch.Tensor,
        profit: torch.Tensor,
    ) -> torch.Tensor: ...

class Eisl(torch.nn.Module):
    places: torch.Tensor | None
    temperature: float
    log_prob_floor: float
    ngrams: Sequence[int]
    weights: Sequence[float] | None
    ignore_index: int
    reduction: str
    def __init__(
        self,
        *,
        places: torch.Tensor | None = None,
        temperature: float = 1.0,
        log_prob_floor: float = -20.0,
        ngrams: Sequence[int] = (1, 2, 3, 4),
        weights: Sequence[float] | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logits: torch.Tensor,
        tokens: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logits: torch.Tensor,
        tokens: torch.Tensor,
    ) -> torch.Tensor: ...

class Dpo(torch.nn.Module):
    beta: float
    label_smoothing: float
    reduction: str
    def __init__(
        self,
        *,
        beta: float = 0.1,
        label_smoothing: float = 0.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        policy_chosen_logp: torch.Tensor,
        policy_rejected_logp: torch.Tensor,
        ref_chosen_logp: torch.Tensor,
        ref_rejected_logp: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        policy_chosen_logp: torch.Tensor,
        policy_rejected_logp: torch.Tensor,
        ref_chosen_logp: torch.Tensor,
        ref_rejected_logp: torch.Tensor,
    ) -> torch.Tensor: ...

class Npo(torch.nn.Module):
    beta: float
    reduction: str
    def __init__(
        self,
        *,
        beta: float = 0.1,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        policy_logp: torch.Tensor,
        ref_logp: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        policy_logp: torch.Tensor,
        ref_logp: torch.Tensor,
    ) -> torch.Tensor: ...

class Ihl(torch.nn.Module):
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

class Dco(torch.nn.Module):
    attempts: float
    reduction: str
    def __init__(
        self,
        *,
        attempts: float = 8.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        log_probability: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        log_probability: torch.Tensor,
    ) -> torch.Tensor: ...

class ClippedSurrogate(torch.nn.Module):
    clip_low: float
    clip_high: float
    dual_clip: float
    reduction: str
    def __init__(
        self,
        *,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        dual_clip: float = 3.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> torch.Tensor: ...

class SignedReinforcement(torch.nn.Module):
    positive: float
    negative: float
    clip_low: float
    clip_high: float
    reduction: str
    def __init__(
        self,
        *,
        positive: float = 0.1,
        negative: float = 1.0,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        right: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        right: torch.Tensor,
    ) -> torch.Tensor: ...

class ClipCov(torch.nn.Module):
    share: float
    lowest: float
    highest: float
    clip_low: float
    clip_high: float
    reduction: str
    def __init__(
        self,
        *,
        share: float = 0.0002,
        lowest: float = 1.0,
        highest: float = 5.0,
        clip_low: float = 1.0,
        clip_high: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
        draws: torch.Tensor | None = None,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
        draws: torch.Tensor | None = None,
    ) -> torch.Tensor: ...

class KlCov(torch.nn.Module):
    share: float
    coefficient: float
    reduction: str
    def __init__(
        self,
        *,
        share: float = 0.002,
        coefficient: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        old_logp: torch.Tensor,
        advantage: torch.Tensor,
    ) -> torch.Tensor: ...

class AlphaDivergence(torch.nn.Module):
    alpha: float
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.2,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        ref_logp: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        ref_logp: torch.Tensor,
    ) -> torch.Tensor: ...

class JensenShannonTerm(torch.nn.Module):
    reduction: str
    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        logp: torch.Tensor,
        ref_logp: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        logp: torch.Tensor,
        ref_logp: torch.Tensor,
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

class BmcLoss(torch.nn.Module):
    noise_sigma: float
    reduction: str
    def __init__(
        self,
        *,
        noise_sigma: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        prediction: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        prediction: torch.Tensor,
        y: torch.Tensor,
    ) -> torch.Tensor: ...

class GaiLoss(torch.nn.Module):
    noise_sigma: float
    reduction: str
    def __init__(
        self,
        *,
        noise_sigma: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        prediction: torch.Tensor,
        y: torch.Tensor,
        means: torch.Tensor,
        weights: torch.Tensor,
        variances: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        prediction: torch.Tensor,
        y: torch.Tensor,
        means: torch.Tensor,
        weights: torch.Tensor,
        variances: torch.Tensor,
    ) -> torch.Tensor: ...

class InterpolatingBagLoss(torch.nn.Module):
    rho: float
    reduction: str
    def __init__(
        self,
        *,
        rho: float = 0.5,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        predictions: torch.Tensor,
        response: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        predictions: torch.Tensor,
        response: torch.Tensor,
    ) -> torch.Tensor: ...

class IpsWeightedBce(torch.nn.Module):
    num_pairs: int | None
    self_normalised: bool
    reduction: str
    def __init__(
        self,
        *,
        num_pairs: int | None = None,
        self_normalised: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probability: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor: ...

class Anyloss(torch.nn.Module):
    steepness: float
    beta: float
    score: str
    def __init__(
        self,
        *,
        steepness: float = 73.0,
        beta: float = 1.0,
        score: str = "fbeta",
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

class FocalTversky(torch.nn.Module):
    alpha: float
    gamma: float
    smooth: float
    pooled: bool
    reduction: str
    def __init__(
        self,
        *,
        alpha: float = 0.7,
        gamma: float = 0.75,
        smooth: float = 1.0,
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

class SkeletonRecall(torch.nn.Module):
    smooth: float
    pooled: bool
    reduction: str
    def __init__(
        self,
        *,
        smooth: float = 0.0,
        pooled: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(
        self,
        probabilities: torch.Tensor,
        skeleton: torch.Tensor,
    ) -> torch.Tensor: ...
    def __call__(
        self,
        probabilities: torch.Tensor,
        skeleton: torch.Tensor,
    ) -> torch.Tensor: ...

def get(key: str) -> Loss: ...
def names(family: str | None = None) -> tuple[str, ...]: ...
