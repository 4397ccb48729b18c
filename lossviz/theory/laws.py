"""Closed laws: what no learner can beat, and what estimating costs.

`LAWS` lists them; each is a `Law` whose page, sliders and curve follow from its form.
"""

from __future__ import annotations

import torch

from ..declaration import Fact, Law, Source, law, number
from ..declaration.registry import Registry

Pair = tuple[torch.Tensor, torch.Tensor]

DIVERGENCE = number(
    "D", "D", "[0, inf)", (0.0, 4.0, 0.05),
    "KL divergence between the two distributions, in nats",
    "the two cannot be told apart", "they are told apart with ease",
)  # fmt: skip


def _above_no_test(bound: Law) -> None:
    """Two normal distributions of equal variance: the best test errs more than the bound says."""
    divergence = torch.linspace(0.001, 12, 200, dtype=torch.float64)
    within = divergence[divergence <= bound.axis.high]
    # equal variances a distance d apart have KL d^2 / 2, and the best test errs with Phi(-d / 2)
    exact = torch.special.ndtr(-(2 * within).sqrt() / 2)
    assert (bound(within) <= exact).all()


def _from_a_coin_to_nothing(D: torch.Tensor) -> Pair:
    return pinsker_error_bound(D[[0, -1]]) + 1, torch.tensor([1.5, 1.0]).double()


def _far_apart(D: torch.Tensor) -> Pair:
    return bretagnolle_huber_error_bound(D + 30), (-(D + 30)).exp() / 4


@law(
    family="two distributions",
    latex=r"\mathrm{err} \ge \tfrac12 \Big(1 - \sqrt{D / 2}\Big)",
    form="(1 - sqrt(D/2))/2",
    axis=number(
        "D", "D", "[0, 2]", (0.0, 2.0, 0.05),
        "KL divergence between the two distributions, in nats",
        "the two cannot be told apart", "the bound says nothing any more",
    ),
    value="least error of a test with equal priors",
    source=Source("tsybakov2009introduction", "section 2.4"),
    facts=(
        Fact("The best test between two normal distributions errs more", holds=_above_no_test),
        Fact("Indistinguishable: a coin; 0 at D = 2 (both sides plus 1)", _from_a_coin_to_nothing),
    ),
    related=("bretagnolle_huber_error_bound",),
)  # fmt: skip
def pinsker_error_bound(D: torch.Tensor) -> torch.Tensor:
    """Pinsker's bound on testing: how often any test must err between two close distributions.

    The total variation is at most sqrt(D / 2), and the best test with equal priors errs with
    probability (1 - total variation) / 2. Beyond D = 2 it is empty: take Bretagnolle and Huber.
    """
    return (1 - (D / 2).sqrt()) / 2


@law(
    family="two distributions",
    latex=r"\mathrm{err} \ge \tfrac12 \Big(1 - \sqrt{1 - e^{-D}}\Big)",
    form="(1 - sqrt(1 - exp(-D)))/2",
    axis=DIVERGENCE,
    value="least error of a test with equal priors",
    source=Source("tsybakov2009introduction", "section 2.4"),
    facts=(
        Fact("The best test between two normal distributions errs more", holds=_above_no_test),
        Fact("Far apart it is exp(-D) / 4: never empty", _far_apart, rtol=1e-12),
    ),
    related=("pinsker_error_bound",),
)
def bretagnolle_huber_error_bound(D: torch.Tensor) -> torch.Tensor:
    """Bretagnolle and Huber's bound on testing: how often any test must err, at every divergence.

    Weaker than Pinsker's for close distributions, and never empty.
    """
    variation = (-torch.expm1(-D)).sqrt()
    return (-D).exp() / (1 + variation) / 2  # 1 - variation would cancel


EXAMPLES = number(
    "n", "n", "[1, inf)", (1.0, 10000.0, 1.0),
    "number of examples", "one example", "no error of estimation is left",
)  # fmt: skip
DIMENSION = number(
    "p", "p", "(0, inf)", (1.0, 100.0, 1.0),
    "number of free parameters", "nothing to estimate", "more to estimate than is known",
)  # fmt: skip


def _one_mean(n: torch.Tensor) -> Pair:
    return pn_leading_term(n, p=1.0), mle_kl_risk_gaussian_mean_misspecified(n)


def _twice_of_both(n: torch.Tensor) -> Pair:
    return pn_leading_term(n, p=6.0), pn_leading_term(2 * n, p=12.0)


def _error_of_the_mean(n: torch.Tensor) -> Pair:
    risk = mle_kl_risk_gaussian_mean_misspecified(n, model_variance=2.0, true_variance=3.0)
    return risk, (3.0 / n) / (2 * 2.0)


@law(
    family="estimation",
    latex=r"\mathbb E\, D(g_* \,\|\, g_{\hat\theta}) \approx \frac{p}{2n}",
    form="p/(2*n)",
    axis=EXAMPLES,
    parameters=(DIMENSION,),
    value="expected KL divergence, in nats",
    source=Source("sheena2021convergence"),
    facts=(
        Fact("A normal mean, with the right variance, is this exactly", _one_mean),
        Fact("Twice the parameters need twice the examples", _twice_of_both),
    ),
    related=("mle_kl_risk_gaussian_mean_misspecified",),
    logarithmic=True,
    reading=True,
)
def pn_leading_term(n: torch.Tensor, *, p: float = 10.0) -> torch.Tensor:
    """Cost of p parameters: the excess cross-entropy of maximum likelihood falls like p / (2n).

    The leading term for a well specified exponential family; the next one depends on its third and
    fourth cumulants. For small n the exact risk lies above it.
    """
    return p / (2 * n)


@law(
    family="estimation",
    latex=r"\mathbb E\, D = \frac{v}{2\, n\, s^2}",
    form="true_variance/(2*n*model_variance)",
    axis=EXAMPLES,
    parameters=(
        number(
            "model_variance", "s^2", "(0, inf)", (0.5, 4.0, 0.5),
            "variance that the model takes for granted", "a model that is too sure",
            "a model that is too cautious",
        ),
        number(
            "true_variance", "v", "(0, inf)", (0.5, 4.0, 0.5),
            "variance of the data", "data without noise", "noise that the model denies",
        ),
    ),
    value="expected KL divergence, in nats",
    source=Source("sheena2021convergence"),
    facts=(
        Fact(
            "The expected squared error v / n of the mean, in units of twice the model's variance",
            _error_of_the_mean,
        ),
    ),
    related=("pn_leading_term",),
    logarithmic=True,
    reading=True,
)  # fmt: skip
def mle_kl_risk_gaussian_mean_misspecified(
    n: torch.Tensor, *, model_variance: float = 1.0, true_variance: float = 1.0
) -> torch.Tensor:
    """Cost of a mean: the exact risk of a normal mean whose variance is taken for granted.

    It is tr(J / G) / (2n), with G the information that the model claims and J the variance that the
    score really has: too sure a model pays more than p / (2n).
    """
    return true_variance / (2 * n * model_variance)


def _certain_verifier(r: torch.Tensor) -> Pair:
    inside = r[1:]
    return resampling_ceiling(inside, soundness=1.0), torch.ones_like(inside)


def _blind_verifier(r: torch.Tensor) -> Pair:
    return 1 + resampling_ceiling(r, completeness=1.0, soundness=0.0), 1 + r


@law(
    family="attempts",
    latex=r"\frac{c\, r}{c\, r + (1 - s)(1 - r)}",
    form="completeness*r/(completeness*r + (1 - soundness)*(1 - r))",
    axis=number(
        "r", "r", "(0, 1]", (0.02, 1.0, 0.02), "chance that an attempt is right",
        "hardly any attempt is right", "every attempt is right",
    ),
    value="chance that an accepted attempt is right",
    source=Source("stroebl2024inference", "section 2"),
    parameters=(
        number(
            "completeness", "c", "(0, 1]", (0.05, 1.0, 0.05), "chance that a right one is accepted",
            "right ones are hardly ever accepted", "every right one is accepted",
        ),
        number(
            "soundness", "s", "[0, 1]", (0.0, 1.0, 0.05), "chance that a wrong one is rejected",
            "every wrong one is accepted", "no wrong one is accepted",
        ),
    ),
    facts=(
        Fact("A judge that accepts no wrong one: 1", _certain_verifier),
        Fact("A judge that accepts everything: no better than one attempt", _blind_verifier),
    ),
)  # fmt: skip
def resampling_ceiling(
    r: torch.Tensor, *, completeness: float = 1.0, soundness: float = 0.75
) -> torch.Tensor:
    """The ceiling of resampling: how often an answer that a judge accepts is right.

    Attempts are repeated until one is accepted. The number of attempts does not enter: no amount of
    sampling passes the ceiling that the judge's false positives set.
    """
    return completeness * r / (completeness * r + (1 - soundness) * (1 - r))


LAWS = Registry(
    "law",
    pinsker_error_bound,
    bretagnolle_huber_error_bound,
    pn_leading_term,
    mle_kl_risk_gaussian_mean_misspecified,
    resampling_ceiling,
)
