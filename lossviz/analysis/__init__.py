"""Analysis of your own trained model: its accuracy, whether it can be believed, its landscape.

`MEASURES` lists what streams over batches; each is a `Measure`: a function of whole arrays, and a
stream. What a prediction holds is said by `kind` and never guessed (`confidence`). Calibration
errors are in `binned` and `smooth`, what sorts is streamed in `fine`, proper scores in `scores`,
how far a number can be trusted in `chance`, calibrators in `scaling` (of logits), `correctness`
(with transformed copies) and `probability` (of one probability), compared in `comparing`,
abstaining in `selective`, sets of labels in `conformal`, answers of language models in `sequences`
and `attempts`, what a new model forgot in `flips`. Where features go is in `collapse`,
`class_by_class`, `crowded`, `geometry` and `neighbours`, followed while a model trains by
`watching`, whether two losses agree in `conflict`. What is called entropy is in `entropies`, what
moves that of a policy in `policy`, `reward_law`, `alignment` and `divergence`, how the next token
is drawn in `truncation` and `sampling`, what variables say about one another in `information`, the
inside of networks in `attention`, the loss around the weights in `surface`.
"""

from __future__ import annotations

from typing import Any

from ..declaration.registry import Registry
from ..losses.tokens.covariance import token_covariance
from .alignment import (
    best_of_n,
    best_of_n_estimate,
    kl_constrained_optimum,
    tilted_policy,
    win_rate,
)
from .attempts import Resampling, pass_at_k, pass_at_n, resampling_reward
from .binned import (
    Bins,
    classwise_ece,
    ece,
    ece_left_closed,
    equal_mass,
    equal_width,
    mce,
    rmsce,
    sums_in_bins,
)
from .chance import Interval, Null, bootstrap, calibrated_null, clopper_pearson, ece_interval
from .class_by_class import ClassRows, cdnv, class_rows, class_variances, mean_cdnv
from .collapse import (
    ClassStatistics,
    class_statistics,
    nc1,
    nc2,
    nc2_of_weight,
    nc3,
    nc3_distance,
    nc4,
    nc4_of_logits,
    nc5,
    nearest_mean,
    simplex_frame,
    vci,
)
from .collapse_measures import (
    class_distance_variance,
    class_geometry,
    nearest_mean_disagreement,
    self_duality,
    simplex_distance,
    variability_collapse,
    variability_index,
)
from .comparing import ScoreParts, Trial, compare_calibrators, cross_fit, refinement
from .confidence import (
    Confidence,
    by_group,
    class_probabilities,
    every_class,
    of_class,
    top_label,
)
from .conflict import Conflict, gradient_conflict, without_conflict
from .conformal import (
    adaptive_scores,
    conformal_threshold,
    of_label,
    prediction_sets,
    threshold_scores,
)
from .correctness import CorrectnessAware, ca_features
from .crowded import one_vs_rest_margins, softmax_code_margin, uniformity
from .divergence import divergences, sampled_divergences
from .entropies import (
    EntropyBounds,
    NegativeLogLikelihood,
    TokenEntropy,
    Undecided,
    entropy_bounds,
    fused_token_entropy,
    sampled_nll,
    sequence_nll,
    token_entropy,
    truncated_entropy,
    undecided_tokens,
)
from .fine import (
    error_bound,
    fine_aurc,
    fine_auroc,
    fine_ece_equal_mass,
    fine_kde_ece,
    fine_smooth_ece,
)
from .flips import FlipRates, SmoothFlips, flip_rates, smooth_flips
from .geometry import (
    cell_entropy,
    covariance_rank,
    diffusion_entropy,
    diffusion_information,
    normalised_std,
    power_law,
    rankme,
    rankme_of_moments,
    spectrum,
)
from .measures import mean_entropy, top_label_accuracy
from .moments import kurtosis, skewness
from .neighbours import NeighbourScore, icnn_score
from .policy import (
    entropy_change,
    logit_update,
    steer_weights,
    token_entropy_change,
)
from .probability import (
    BetaCalibration,
    HistogramBinning,
    IsotonicCalibration,
    OneVersusRest,
    PlattScaling,
)
from .rank_measures import (
    centred_effective_rank,
    covariance_effective_rank,
    effective_rank,
    spectral_decay,
)
from .records import Journal, Record
from .reservoir import Reservoir
from .reward_law import RewardForecast, RewardLaw, reward_entropy_forecast, reward_entropy_law
from .sampled_measures import (
    diffusion_label_information,
    diffusion_spectrum,
    neighbour_agreement,
)
from .sampling import Mirostat, entropy_switch, mirostat_k, top_k_zipf_cross_entropy, zipf_exponent
from .scaling import (
    DirichletScaling,
    MatrixScaling,
    StructuredScaling,
    TemperatureScaling,
    VectorScaling,
)
from .scores import BrierParts, brier_decomposition, brier_score, log_score
from .selective import (
    RiskCoverage,
    area_under_risk_coverage,
    auroc,
    risk_at_coverage,
    risk_coverage,
)
from .sequences import (
    SequenceConfidence,
    dc_pdd,
    greedy_nll,
    likelihood_ratio,
    sequence_confidence,
)
from .smooth import (
    SquaredError,
    ece_equal_mass,
    kde_ece,
    smooth_ece,
    squared_calibration_error,
)
from .surface import (
    Direction,
    TrajectoryPlane,
    filter_normalised_directions,
    loss_on_plane,
    trajectory_plane,
)
from .truncation import (
    Truncated,
    at_temperature,
    eta,
    min_p,
    top_h,
    top_k,
    top_n_sigma,
    top_p,
    typical,
)
from .watching import Watch, watch

MEASURES = Registry(
    "measure",
    top_label_accuracy,
    mean_entropy,
    ece,
    ece_left_closed,
    rmsce,
    mce,
    classwise_ece,
    brier_score,
    log_score,
    fine_auroc,
    fine_aurc,
    fine_ece_equal_mass,
    fine_smooth_ece,
    fine_kde_ece,
    variability_collapse,
    variability_index,
    simplex_distance,
    self_duality,
    nearest_mean_disagreement,
    class_distance_variance,
    class_geometry,
    effective_rank,
    centred_effective_rank,
    covariance_effective_rank,
    spectral_decay,
    diffusion_spectrum,
    diffusion_label_information,
    neighbour_agreement,
)

__all__ = [
    "MEASURES", "BetaCalibration", "Bins", "BrierParts", "ClassRows", "ClassStatistics",
    "Confidence", "Conflict", "CorrectnessAware", "Direction", "DirichletScaling", "EntropyBounds",
    "FlipRates", "HistogramBinning", "Interval", "IsotonicCalibration", "Journal", "MatrixScaling",
    "MeasureMetric", "Mirostat", "NegativeLogLikelihood", "NeighbourScore", "Null", "OneVersusRest",
    "PlattScaling", "Record", "Resampling", "Reservoir", "RewardForecast", "RewardLaw",
    "RiskCoverage", "ScoreParts", "SequenceConfidence", "SmoothFlips", "SquaredError",
    "StructuredScaling", "TemperatureScaling", "TokenEntropy", "TrajectoryPlane", "Trial",
    "Truncated", "Undecided", "VectorScaling", "Watch", "adaptive_scores",
    "area_under_risk_coverage", "at_temperature", "auroc", "best_of_n", "best_of_n_estimate",
    "bootstrap", "brier_decomposition", "brier_score", "by_group", "ca_features", "calibrated_null",
    "cdnv", "cell_entropy", "centred_effective_rank", "class_distance_variance", "class_geometry",
    "class_probabilities", "class_rows", "class_statistics", "class_variances", "classwise_ece",
    "clopper_pearson", "compare_calibrators", "conformal_threshold", "covariance_effective_rank",
    "covariance_rank", "cross_fit", "dc_pdd", "diffusion_entropy", "diffusion_information",
    "diffusion_label_information", "diffusion_spectrum", "divergences", "ece", "ece_equal_mass",
    "ece_interval", "ece_left_closed", "effective_rank", "entropy_bounds", "entropy_change",
    "entropy_switch", "equal_mass", "equal_width", "error_bound", "eta", "every_class",
    "filter_normalised_directions", "fine_aurc", "fine_auroc", "fine_ece_equal_mass",
    "fine_kde_ece", "fine_smooth_ece", "flip_rates", "fused_token_entropy", "gradient_conflict",
    "greedy_nll", "icnn_score", "kde_ece", "kl_constrained_optimum", "kurtosis", "likelihood_ratio",
    "log_score", "logit_update", "loss_on_plane", "mce", "mean_cdnv", "mean_entropy", "min_p",
    "mirostat_k", "nc1", "nc2", "nc2_of_weight", "nc3", "nc3_distance", "nc4", "nc4_of_logits",
    "nc5", "nearest_mean", "nearest_mean_disagreement", "neighbour_agreement", "normalised_std",
    "of_class", "of_label", "one_vs_rest_margins", "pass_at_k", "pass_at_n", "power_law",
    "prediction_sets", "rankme", "rankme_of_moments", "refinement", "resampling_reward",
    "reward_entropy_forecast", "reward_entropy_law", "risk_at_coverage", "risk_coverage", "rmsce",
    "sampled_divergences", "sampled_nll", "self_duality", "sequence_confidence", "sequence_nll",
    "simplex_distance", "simplex_frame", "skewness", "smooth_ece", "smooth_flips",
    "softmax_code_margin", "spectral_decay", "spectrum", "squared_calibration_error",
    "steer_weights", "sums_in_bins", "threshold_scores", "tilted_policy", "token_covariance",
    "token_entropy", "token_entropy_change", "top_h", "top_k", "top_k_zipf_cross_entropy",
    "top_label", "top_label_accuracy", "top_n_sigma", "top_p", "trajectory_plane",
    "truncated_entropy", "typical", "undecided_tokens", "uniformity", "variability_collapse",
    "variability_index", "vci", "watch", "win_rate", "without_conflict", "zipf_exponent",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "MeasureMetric":  # needs torchmetrics, which nothing else here does
        from .metric import MeasureMetric

        return MeasureMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
