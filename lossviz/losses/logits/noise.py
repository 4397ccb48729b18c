"""Fine-tuning with noise in the hidden layers: clean and noisy passes are to agree."""

from __future__ import annotations

import torch

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    declare,
    exact_by_rows,
    number,
    unbounded,
)
from ...declaration.kinds import LOGITS, labels
from ...declaration.margin import from_the_top, log_probabilities
from ...declaration.numbers import check_reduction, reduce_rows, widen
from .crossentropy import cross_entropy
from .matching import tempered_kl

KHADANGI = "khadangi2025noise"
FLOOR = 1e-6
PASSES = Inputs(
    Argument("logits", LOGITS, "... K", "Of the clean pass"),
    Argument("noisy_1", LOGITS, "... K", "Of a pass with noise in hidden layers"),
    Argument("noisy_2", LOGITS, "... K", "Of another"),
    Argument("target", labels("K", ignorable=True), "..."),
)
ALPHA = number(
    "alpha", r"\alpha", "[0, 1]", (0.0, 1.0, 0.05),
    "weight of cross-entropy; the rest is that of staying with the clean pass",
    "the labels do not count", "the noise does not count, but for its own consistency",
    label="weight of cross-entropy", ends=("none", "all"),
)  # fmt: skip
LAMBDA = number(
    "lambda_consistency", r"\lambda", "[0, inf)", (0.0, 1.0, 0.05),
    "weight of the divergence between the two noisy passes",
    "the noisy passes see only the clean one", "the noisy passes must agree above all",
    label="weight of agreement under noise", ends=("none", "strong"),
)  # fmt: skip


TEMPERATURE = number(
    "temperature", r"\tau", "(0, inf)", (0.25, 4.0, 0.25),
    "what the logits of the clean pass are divided by",
    "the first choice of the clean pass alone counts", "all its classes count alike",
    ends=("first choice", "all alike"),
)  # fmt: skip


def _divergence(log_q: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    """KL(q || p) of the last axis; a class that q rules out costs nothing."""
    q = log_q.exp()
    return (q * torch.where(q == 0, 0.0, log_q - log_p)).sum(-1)


def _nll(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    top, at = from_the_top(logits), target.unsqueeze(-1)
    return top.rest.log1p() - top.gaps.gather(-1, at).squeeze(-1)


def _weighed(weight: float, term: torch.Tensor) -> torch.Tensor:
    """A term that counts for nothing may be infinite, but NaN stays NaN."""
    return weight * term if weight > 0 else torch.where(term.isnan(), term, 0.0)


def _slope(
    z: torch.Tensor,
    one: torch.Tensor,
    two: torch.Tensor,
    y: torch.Tensor,
    *,
    alpha: float,
    lambda_consistency: float,
    temperature: float,
) -> torch.Tensor:
    one_hot = torch.nn.functional.one_hot(y, z.shape[-1])
    log_q = (z / temperature).log_softmax(-1)
    apart = log_q - (one.log_softmax(-1) + two.log_softmax(-1)) / 2
    pulled = log_q.exp() * (apart - (log_q.exp() * apart).sum(-1, keepdim=True))
    return alpha * (z.softmax(-1) - one_hot) + (1 - alpha) / temperature * pulled


NO_NOISE = Fact(
    "Without noise alpha times cross-entropy, at temperature 1",
    lambda z, _one, _two, y: (noisefit_hybrid(z, z, z, y, alpha=0.3), 0.3 * cross_entropy(z, y)),
)


@declare(
    family="distillation",
    inputs=PASSES,
    latex=r"\ell = -\alpha \log p_y + \frac{1 - \alpha}{2} \sum_{j = 1, 2} \mathrm{KL}"
    r"\big(p^{(\tau)} \Vert p^{(j)}\big) + \lambda\, \mathrm{KL}\big(p^{(2)} \Vert p^{(1)}\big), "
    r"\qquad p^{(\tau)} = \mathrm{softmax}(z / \tau)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_k} = \alpha\, (p_k - [k = y]) + \frac{1 - \alpha}{\tau} "
        r"q_k \Big(d_k - \sum_i q_i d_i\Big), \qquad q = p^{(\tau)}, \quad d = \log q - \tfrac12 "
        r"\sum_j \log p^{(j)}",
        _slope,
    ),
    parameters=(ALPHA, LAMBDA, TEMPERATURE),
    source=Source(
        KHADANGI,
        "the hybrid loss of the first released trainer",
        "in the authors' code the divergences are masked by labels that are not shifted by one",
    ),
    facts=(
        Fact(
            "alpha = 1 and lambda = 0: cross-entropy of the clean pass",
            lambda z, one, two, y: (
                noisefit_hybrid(z, one, two, y, alpha=1.0, lambda_consistency=0.0),
                cross_entropy(z, y),
            ),
        ),
        NO_NOISE,
        Fact(
            "alpha = 0 and lambda = 0: the mean divergence of both noisy passes from the clean one",
            lambda z, one, two, y: (
                noisefit_hybrid(z, one, two, y, alpha=0.0, lambda_consistency=0.0),
                (tempered_kl(one, z, temperature=1.0) + tempered_kl(two, z, temperature=1.0)) / 2,
            ),
        ),
        unbounded(how="linearly in a wrong margin, for alpha above 0"),
    ),
    stability="Log-probabilities keep the digits of a class that is nearly certain, and sums are "
    "in float64. A term of weight 0 is left out, even where it is infinite.",
    notes="Gradients reach all three passes: the clean one also moves towards the noisy ones. "
    "`noisefit_hybrid_v2` stops that.",
    related=("tempered_kl", "symmetric_ce", "cross_entropy"),
    also=("NoiseFiT", "noise-augmented fine-tuning", "consistency loss", "R-Drop"),
    use="A model is fine-tuned on few examples and is to answer alike under small changes inside.",
    avoid="Three passes are too dear, or there is no noise: then it is a multiple of "
    "cross-entropy.",
)
def noisefit_hybrid(
    logits: torch.Tensor,
    noisy_1: torch.Tensor,
    noisy_2: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.5,
    lambda_consistency: float = 0.1,
    temperature: float = 1.0,
) -> torch.Tensor:
    """NoiseFiT hybrid loss: cross-entropy, and two noisy passes that stay with the clean one.

    Rows are aligned: for language models give the logits of a place and the token that comes next.
    """
    return _first(
        logits, noisy_1, noisy_2, target,
        alpha=alpha, lambda_consistency=lambda_consistency, temperature=temperature,
    )  # fmt: skip


@exact_by_rows
def _first(
    z: torch.Tensor,
    one: torch.Tensor,
    two: torch.Tensor,
    y: torch.Tensor,
    *,
    alpha: float,
    lambda_consistency: float,
    temperature: float,
) -> torch.Tensor:
    clean = log_probabilities(z / temperature)
    log_1, log_2 = log_probabilities(one), log_probabilities(two)
    soft = (_divergence(clean, log_1) + _divergence(clean, log_2)) / 2
    rows = _weighed(alpha, _nll(z, y)) + _weighed(1 - alpha, soft)
    return rows + _weighed(lambda_consistency, _divergence(log_2, log_1))


def noisefit_hybrid_v2(
    logits: torch.Tensor,
    noisy_1: torch.Tensor,
    noisy_2: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 0.5,
    lambda_consistency: float = 0.05,
    temperature: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    r"""The hybrid loss of the later trainer: passes teach each other without learning back.

    .. math:: -\alpha \log p_y + (1 - \alpha) \tfrac12 \big(D_\tau(z^{(1)}, z) + D_\tau(z^{(2)},
       z)\big) + \lambda D_\tau(z^{(1)}, z^{(2)})

    where D is distillation (`tempered_kl`) of its first argument, whose second one is a teacher
    without gradient: the clean pass learns from the labels alone. It takes the arguments of
    `noisefit_hybrid`, and at temperature 1 and the same lambda has its value; the gradient is
    another one. Raises as `tempered_kl` and `cross_entropy` do. Source: Khadangi et al. (2025), the
    later released trainer.
    """
    check_reduction(reduction)
    rows = alpha * cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")
    for weight, student, teacher in (
        ((1 - alpha) / 2, noisy_1, logits),
        ((1 - alpha) / 2, noisy_2, logits),
        (lambda_consistency, noisy_1, noisy_2),
    ):
        rows = rows + weight * tempered_kl(
            student, teacher, temperature=temperature, reduction="none"
        )
    return reduce_rows(rows, target != ignore_index, reduction, logits.dtype)


def noise_scale(
    hidden: torch.Tensor,
    logits: torch.Tensor | None = None,
    *,
    base_std: float = 0.1,
    beta: float = 0.1,
    cap: float = 5.0,
) -> torch.Tensor:
    r"""NoiseFiT's standard deviation of the noise on each entry of hidden states (..., D).

    .. math:: \sigma_0 \, m \, e^{-\beta |h - \mathrm{median}| / (m + \epsilon)} \, g

    Here m is the median distance of a row from its median (of two middle values the lower one), at
    least epsilon times the row's length, and epsilon is 1e-6. The factor g, at most `cap`, is
    exp(v / (mean v + epsilon)) of the row's variance v (divided by D - 1) and its mean over all
    rows; or, where `logits` (..., K) are given, exp of the entropy -sum p log(p + epsilon) in nats.
    `base_std` is sigma_0. Returns the shape and dtype of `hidden`, without gradient. Raises
    TypeError for integers, ValueError for rows of one entry without `logits`, and for logits of
    other leading axes. Source: Khadangi et al. (2025), as their code computes it.
    """
    h = hidden.detach()
    if not h.is_floating_point() or h.ndim < 1:
        raise TypeError(f"hidden must hold floating-point rows (..., D), got {hidden.dtype}")
    h = widen(h)
    if logits is not None:
        if logits.shape[:-1] != h.shape[:-1]:
            raise ValueError(
                f"logits must have the leading axes of hidden, {tuple(h.shape[:-1])}, got "
                f"{tuple(logits.shape)}"
            )
        p = widen(logits.detach()).softmax(-1)
        strength = -(p * (p + FLOOR).log()).sum(-1, keepdim=True)
    elif h.shape[-1] < 2:
        raise ValueError(f"hidden must have rows of at least two entries, got {tuple(h.shape)}")
    else:
        variance = h.var(-1, keepdim=True)
        strength = variance / (variance.mean() + FLOOR)
    away = (h - h.median(-1, keepdim=True).values).abs()
    spread = away.median(-1, keepdim=True).values
    spread = torch.maximum(spread, FLOOR * h.norm(dim=-1, keepdim=True))
    near = (-beta * away / (spread + FLOOR)).exp()
    return (base_std * spread * near * strength.exp().clamp_max(cap)).to(hidden.dtype)
