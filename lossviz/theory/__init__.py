"""When does a smaller loss mean fewer errors? Consistency bounds, regrets and gaps.

`transforms` has the theorem's curves, `exact` what is true beyond them, `regret` the conditional
regret under both, `hypotheses` and `gaps` what a hypothesis set changes, `bound` both sides for a
model at hand, `margin_losses` two classes in closed form, `growth` the square-root rate,
`aggregate` the risk of regression from bags, and `symbolic` the curves as sympy expressions.
"""

from .aggregate import AggregateRisk, aggregate_asymptotic_risk
from .bound import ConsistencyBound, consistency_bound
from .exact import comp_sum_extremal_distribution, comp_sum_transform_exact_inf
from .features import (
    CrossEntropyOptimum,
    SimplexOptimum,
    SquaredErrorOptimum,
    cross_entropy_optimum,
    squared_error_optimum,
    squared_error_optimum_with_bias,
)
from .gaps import (
    minimizability_gap,
    minimizability_gap_constant_h,
    minimizability_gap_constant_margin,
    zero_one_minimizability_gap,
)
from .growth import growth_exponent, margin_growth_coefficient, margin_transform
from .hypotheses import (
    Complete,
    Constant,
    DiscreteDistribution,
    Finite,
    HypothesisSet,
    Linear,
    OneHiddenLayer,
)
from .laws import (
    LAWS,
    bretagnolle_huber_error_bound,
    mle_kl_risk_gaussian_mean_misspecified,
    pinsker_error_bound,
    pn_leading_term,
    resampling_ceiling,
)
from .margin_losses import MARGIN_LOSSES, MarginLoss
from .regret import (
    bounded_scores_counterexample,
    brute_force_conditional_min,
    comp_sum_conditional_min,
    comp_sum_conditional_min_bounded,
    comp_sum_conditional_regret,
    comp_sum_conditional_risk,
)
from .transforms import (
    comp_sum_gamma,
    comp_sum_gamma_tilde,
    comp_sum_growth_coefficient,
    comp_sum_transform,
    hcons_bounded_ce_binary,
    hcons_bounded_ce_binary_gamma,
)

__all__ = [
    "LAWS",
    "MARGIN_LOSSES",
    "AggregateRisk",
    "Complete",
    "ConsistencyBound",
    "Constant",
    "CrossEntropyOptimum",
    "DiscreteDistribution",
    "Finite",
    "HypothesisSet",
    "Linear",
    "MarginLoss",
    "OneHiddenLayer",
    "SimplexOptimum",
    "SquaredErrorOptimum",
    "aggregate_asymptotic_risk",
    "bounded_scores_counterexample",
    "bretagnolle_huber_error_bound",
    "brute_force_conditional_min",
    "comp_sum_conditional_min",
    "comp_sum_conditional_min_bounded",
    "comp_sum_conditional_regret",
    "comp_sum_conditional_risk",
    "comp_sum_extremal_distribution",
    "comp_sum_gamma",
    "comp_sum_gamma_tilde",
    "comp_sum_growth_coefficient",
    "comp_sum_transform",
    "comp_sum_transform_exact_inf",
    "consistency_bound",
    "cross_entropy_optimum",
    "growth_exponent",
    "hcons_bounded_ce_binary",
    "hcons_bounded_ce_binary_gamma",
    "margin_growth_coefficient",
    "margin_transform",
    "minimizability_gap",
    "minimizability_gap_constant_h",
    "minimizability_gap_constant_margin",
    "mle_kl_risk_gaussian_mean_misspecified",
    "pinsker_error_bound",
    "pn_leading_term",
    "resampling_ceiling",
    "squared_error_optimum",
    "squared_error_optimum_with_bias",
    "zero_one_minimizability_gap",
]
