"""Regression when some values are rare: the squared error with the density of labels taken out.

A network trained by the squared error on unbalanced labels shrinks towards the common ones. Both
losses here add how likely each prediction makes all labels of the training set, as balanced softmax
does for classes: the one takes the labels of the batch for that set, the other a mixture of
Gaussians fitted to it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    declare,
    number,
    row_dtype,
    softplus,
)
from ...declaration.kinds import COUNTS, PREDICTIONS, VALUES, VARIANCES

BATCH_OF_VALUES = Inputs(
    Argument("prediction", PREDICTIONS, "N"),
    Argument("y", VALUES, "N", "The values to be predicted, which stand for all labels"),
    rows="N",
    coupled=True,
)
WITH_MIXTURE = Inputs(
    Argument("prediction", PREDICTIONS, "..."),
    Argument("y", VALUES, "...", "The values to be predicted"),
    Argument("means", VALUES, "G", "Of a mixture fitted to the labels of the training set"),
    Argument("weights", COUNTS, "G"),
    Argument("variances", replace(VARIANCES, learnt=False), "G", "0 for the centre of a bucket"),
)
NOISE = number(
    "noise_sigma", r"\sigma_\varepsilon", "(0, inf)", (0.1, 5.0, 0.1),
    "standard deviation of what the prediction leaves over",
    "the nearest label of the training set has to be the right one",
    "the squared error with the mean of all labels taken out",
    label="standard deviation of the noise", ends=("nearest label", "all labels"),
)  # fmt: skip
REN = Source("ren2022balancedmse", "section 3")
RARE = ("imbalanced regression", "label density", "long-tailed regression", "Balanced MSE")


def _batch_gradient(
    prediction: torch.Tensor, y: torch.Tensor, *, noise_sigma: float
) -> torch.Tensor:
    distance = prediction[:, None] - y
    likely = (-distance.square() / (2 * noise_sigma**2)).softmax(-1)
    return 2 * (likely @ y - y)


def _as_classes(prediction: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = -(prediction[:, None] - y).square() / 2
    return (
        bmc_loss(prediction, y, reduction="none"),
        2 * F.cross_entropy(logits, torch.arange(len(y)), reduction="none"),
    )


def _all_labels(prediction: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sigma = 1e4
    chance = y.new_tensor(len(y)).log()
    return bmc_loss(prediction, y, noise_sigma=sigma) / (2 * sigma**2), chance


@declare(
    family="regression",
    inputs=BATCH_OF_VALUES,
    latex=r"\ell_i(\mu, y) = -2 \sigma_\varepsilon^2 \log "
    r"\frac{e^{-(\mu_i - y_i)^2 / 2 \sigma_\varepsilon^2}}"
    r"{\sum_j e^{-(\mu_i - y_j)^2 / 2 \sigma_\varepsilon^2}}",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial \mu_i} = 2 \Big( \sum_j p_{ij}\, y_j - y_i \Big), "
        r"\qquad p_{ij} \propto_j e^{-(\mu_i - y_j)^2 / 2 \sigma_\varepsilon^2}",
        _batch_gradient,
    ),
    parameters=(NOISE,),
    source=REN,
    facts=(
        Fact(
            "2 sigma^2 times a cross-entropy in which each label of the batch is a class",
            _as_classes,
        ),
        Fact(
            "A large sigma sees all labels alike: the loss over 2 sigma^2 is log N (at 1e4)",
            _all_labels,
            rtol=1e-6,
        ),
        Fact(
            "The same number added to predictions and values changes nothing",
            lambda mu, y: (bmc_loss(mu + 3, y + 3), bmc_loss(mu, y)),
        ),
    ),
    notes="The batch stands for the training set, so a small batch is a bad estimate of the label "
    "density. The factor 2 sigma^2 keeps the gradient at the size of that of the squared error; "
    "sigma may be learnt outside by dividing predictions and values. A published copy of the code "
    "compares each prediction with its own value only, which is not this loss.",
    related=("gai_loss", "gaussian_nll", "balanced_softmax_ce"),
    also=("BMC", *RARE),
    use="Numbers are to be predicted of which some ranges are rare in training, and as important "
    "as the rest.",
    avoid="The test has the label density of the training set: the squared error is right then.",
)
def bmc_loss(
    prediction: torch.Tensor, y: torch.Tensor, *, noise_sigma: float = 1.0
) -> torch.Tensor:
    """Balanced MSE over the batch (BMC): a prediction has to be nearer to its own value.

    Nearer than to the other values of the batch, that is. May be multiplied by any number: in units
    of the square of `y`.
    """
    exact = prediction.to(row_dtype(prediction))
    values = y.to(exact.dtype)
    # minus the difference of two squared distances, which keeps its digits far from all values
    leads = (values - values[:, None]) * (2 * exact[:, None] - values - values[:, None])
    itself = torch.eye(len(values), dtype=torch.bool, device=values.device)
    least = torch.finfo(exact.dtype).min
    rivals = (leads / (2 * noise_sigma**2)).masked_fill(itself, least).logsumexp(-1)
    return 2 * noise_sigma**2 * softplus(rivals)


def _mixture_gradient(
    prediction: torch.Tensor,
    y: torch.Tensor,
    means: torch.Tensor,
    weights: torch.Tensor,
    variances: torch.Tensor,
    *,
    noise_sigma: float,
) -> torch.Tensor:
    spread = variances + noise_sigma**2
    distance = prediction[:, None] - means
    likely = (weights.log() - spread.log() / 2 - distance.square() / (2 * spread)).softmax(-1)
    return 2 * (prediction - y) - 2 * noise_sigma**2 * (likely * distance / spread).sum(-1)


def _of_the_batch(
    prediction: torch.Tensor, y: torch.Tensor, *_mixture: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    points = gai_loss(prediction, y, y, torch.ones_like(y), 0 * y, reduction="none")
    return points, bmc_loss(prediction, y, reduction="none")


def _one_component(
    prediction: torch.Tensor, y: torch.Tensor, *_mixture: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    one, variance = y.new_ones(1), y.new_full((1,), 1e12)
    got = gai_loss(prediction, y, 0 * one, one, variance, reduction="none")
    return got + variance.log(), (prediction - y).square()


@declare(
    family="regression",
    inputs=WITH_MIXTURE,
    latex=r"\ell(\mu, y) = (\mu - y)^2 + 2 \sigma_\varepsilon^2 \log \sum_k w_k\, "
    r"\frac{\sigma_\varepsilon}{\sqrt{v_k + \sigma_\varepsilon^2}}\, "
    r"e^{-(\mu - m_k)^2 / 2 (v_k + \sigma_\varepsilon^2)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \mu} = 2 (\mu - y) - 2 \sigma_\varepsilon^2 \sum_k p_k\, "
        r"\frac{\mu - m_k}{v_k + \sigma_\varepsilon^2}, \qquad p_k \propto "
        r"\frac{w_k}{\sqrt{v_k + \sigma_\varepsilon^2}}\, "
        r"e^{-(\mu - m_k)^2 / 2 (v_k + \sigma_\varepsilon^2)}",
        _mixture_gradient,
    ),
    parameters=(NOISE,),
    source=REN,
    facts=(
        Fact(
            "Points of equal weight at the labels of the batch: the loss over the batch",
            _of_the_batch,
        ),
        Fact(
            "One very wide component: the squared error, but for a constant (at variance 1e12)",
            _one_component,
            rtol=1e-6,
        ),
    ),
    notes="May be negative: only differences mean something. Weights need not sum to 1, their "
    "scale adds a constant. Variances of 0 make points of the components: buckets of labels with "
    "their counts (the third form of the paper, BNI).",
    related=("bmc_loss", "gaussian_nll", "balanced_softmax_ce"),
    view={"axes": {"prediction": (-4.0, 4.0), "y": (-4.0, 4.0)}},
    also=("GAI", "BNI", "label histogram", *RARE),
    use="As balanced MSE over the batch, where batches are too small to stand for all labels.",
    avoid="No mixture fits the labels, or batches are large: take the loss over the batch.",
)
def gai_loss(
    prediction: torch.Tensor,
    y: torch.Tensor,
    means: torch.Tensor,
    weights: torch.Tensor,
    variances: torch.Tensor,
    *,
    noise_sigma: float = 1.0,
) -> torch.Tensor:
    """Balanced MSE over a mixture (GAI): the squared error, and how common the prediction is."""
    exact = prediction.to(row_dtype(prediction))
    spread = variances.to(exact.dtype) + noise_sigma**2
    away = (exact.unsqueeze(-1) - means).square() / (2 * spread)
    common = weights.log() - (spread / noise_sigma**2).log() / 2 - away
    return (exact - y).square() + 2 * noise_sigma**2 * common.logsumexp(-1)
