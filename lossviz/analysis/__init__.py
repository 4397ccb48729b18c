"""Analysis of your own trained model: its accuracy, whether it can be believed, its landscape.

`MEASURES` lists what streams over batches; each is a `Measure`: a function of whole arrays, and a
stream. What a prediction holds is said by `kind` and never guessed (`confidence`). Calibration
errors are in `binned` and `smooth`, proper scores in `scores`, how far a number can be trusted in
`chance`, calibrators in `scaling` (of logits) and `probability` (of one probability), abstaining in
`selective`, sets of labels in `conformal`, answers of language models in `sequences` and
`attempts`. Where features go is in `collapse`, `geometry` and `neighbours`, followed while a model
trains by `watching`, whether two losses agree in `conflict`, what is called entropy in `entropies`,
what moves that of a policy in `policy`, `reward_law`, `alignment`, `divergence` and `sampling`,
what variables say about one another in `information`, the inside of networks in `attention`, the
loss around the weights in `surface`.
"""

from __future__ import annotations

from typing import Any

from ..declaration.registry import Registry
from ..losses.tokens.policy import token_covariance
from .alignment import best_of_n, kl_constrained_optimum, tilted_policy
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
from .chance import Interval, Null, bootstrap, calibrated_null, clopper_pearson
from .collapse import (
    ClassRows,
    ClassStatistics,
    cdnv,
    class_rows,
    class_statistics,
    class_variances,
    nc1,
    nc2,
    nc2_of_weight,
    nc3,
    nc3_distance,
    nc4,
    simplex_frame,
)
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
from .divergence import divergences, sampled_divergences
from .entropies import (
    EntropyBounds,
    NegativeLogLikelihood,
    TokenEntropy,
    entropy_bounds,
    fused_token_entropy,
    sampled_nll,
    sequence_nll,
    token_entropy,
    truncated_entropy,
)
from .geometry import (
    cell_entropy,
    covariance_rank,
    diffusion_entropy,
    diffusion_information,
    power_law,
    rankme,
    rankme_of_moments,
    spectrum,
)
from .measures import mean_entropy, top_label_accuracy
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
from .reward_law import RewardForecast, RewardLaw, reward_entropy_forecast, reward_entropy_law
from .sampling import Mirostat, mirostat_k, top_k_zipf_cross_entropy, zipf_exponent
from .scaling import DirichletScaling, MatrixScaling, TemperatureScaling, VectorScaling
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
from .watching import Record, Watch, watch

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
)

__all__ = [
    "MEASURES",
    "BetaCalibration",
    "Bins",
    "BrierParts",
    "ClassRows",
    "ClassStatistics",
    "Confidence",
    "Conflict",
    "Direction",
    "DirichletScaling",
    "EntropyBounds",
    "HistogramBinning",
    "Interval",
    "IsotonicCalibration",
    "MatrixScaling",
    "MeasureMetric",
    "Mirostat",
    "NegativeLogLikelihood",
    "NeighbourScore",
    "Null",
    "OneVersusRest",
    "PlattScaling",
    "Record",
    "Resampling",
    "RewardForecast",
    "RewardLaw",
    "RiskCoverage",
    "SequenceConfidence",
    "SquaredError",
    "TemperatureScaling",
    "TokenEntropy",
    "TrajectoryPlane",
    "VectorScaling",
    "Watch",
    "adaptive_scores",
    "area_under_risk_coverage",
    "auroc",
    "best_of_n",
    "bootstrap",
    "brier_decomposition",
    "brier_score",
    "by_group",
    "calibrated_null",
    "cdnv",
    "cell_entropy",
    "class_probabilities",
    "class_rows",
    "class_statistics",
    "class_variances",
    "classwise_ece",
    "clopper_pearson",
    "conformal_threshold",
    "covariance_rank",
    "dc_pdd",
    "diffusion_entropy",
    "diffusion_information",
    "divergences",
    "ece",
    "ece_equal_mass",
    "ece_left_closed",
    "entropy_bounds",
    "entropy_change",
    "equal_mass",
    "equal_width",
    "every_class",
    "filter_normalised_directions",
    "fused_token_entropy",
    "gradient_conflict",
    "greedy_nll",
    "icnn_score",
    "kde_ece",
    "kl_constrained_optimum",
    "likelihood_ratio",
    "log_score",
    "logit_update",
    "loss_on_plane",
    "mce",
    "mean_entropy",
    "mirostat_k",
    "nc1",
    "nc2",
    "nc2_of_weight",
    "nc3",
    "nc3_distance",
    "nc4",
    "of_class",
    "of_label",
    "pass_at_k",
    "pass_at_n",
    "power_law",
    "prediction_sets",
    "rankme",
    "rankme_of_moments",
    "resampling_reward",
    "reward_entropy_forecast",
    "reward_entropy_law",
    "risk_at_coverage",
    "risk_coverage",
    "rmsce",
    "sampled_divergences",
    "sampled_nll",
    "sequence_confidence",
    "sequence_nll",
    "simplex_frame",
    "smooth_ece",
    "spectrum",
    "squared_calibration_error",
    "steer_weights",
    "sums_in_bins",
    "threshold_scores",
    "tilted_policy",
    "token_covariance",
    "token_entropy",
    "token_entropy_change",
    "top_k_zipf_cross_entropy",
    "top_label",
    "top_label_accuracy",
    "trajectory_plane",
    "truncated_entropy",
    "watch",
    "without_conflict",
    "zipf_exponent",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "MeasureMetric":  # needs torchmetrics, which nothing else here does
        from .metric import MeasureMetric

        return MeasureMetric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
