"""Methods that climb a reward and what they do for the entropy, as weights of tokens.

Each function makes a `Method` of `lossviz.experiments.bandits`, with the settings of its recipe as
defaults. A surrogate is known by its gradient: what multiplies the gradient of a token's
log-probability, so that none needs a tape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..losses import adapted_coefficient
from ..losses.tokens.entropies import likely
from .bandits import Method, Tokens, Weigh, centred, group_relative

Slope = Callable[[torch.Tensor], torch.Tensor]


def _unclipped(ratio: torch.Tensor, advantage: torch.Tensor, low: float, high: float):  # type: ignore[no-untyped-def]
    """Where the pessimistic surrogate still has a slope."""
    return torch.where(advantage > 0, ratio < 1 + high, ratio > 1 - low)


def _surrogate(low: float, high: float, dual: float) -> Weigh:
    def weigh(t: Tokens) -> torch.Tensor:
        ratio = t.ratio
        open_ = _unclipped(ratio, t.advantage, low, high)
        open_ = open_ & ((t.advantage > 0) | (ratio < dual))
        return ratio * t.advantage * open_

    return weigh


def reinforce() -> Method:
    """Policy gradient with the mean reward as baseline, corrected for stale draws by the ratio."""
    return Method(lambda t: t.ratio * t.advantage)


def natural() -> Method:
    """Natural policy gradient: the step on the logits is the advantage itself. Without draws."""

    def weigh(t: Tokens) -> torch.Tensor:
        if t.drawn:
            raise ValueError("the natural gradient needs every answer: draws must be None")
        return t.ratio * t.advantage

    return Method(weigh, natural=True)


def clipped(
    *, low: float = 0.2, high: float = 0.2, dual: float = math.inf, normalise: bool = True
) -> Method:
    """PPO's clipped surrogate with advantages relative to the group.

    `high` = 0.28 is "clip-higher"; `dual` bounds the ratio of tokens with a negative advantage.
    `normalise` divides advantages by the standard deviation of the group.
    """
    return Method(_surrogate(low, high, dual), group_relative if normalise else centred)


def cispo(*, low: float = math.inf, high: float = 0.2) -> Method:
    """CISPO: the ratio is clipped as a weight and no token loses its gradient."""
    least = 1 - low if low < 1 else 0.0
    return Method(lambda t: t.ratio.clamp(least, 1 + high) * t.advantage, group_relative)


def gspo(*, low: float = 3e-4, high: float = 4e-4) -> Method:
    """GSPO: the ratio is the geometric mean over an answer, and answers are clipped as wholes."""

    def weigh(t: Tokens) -> torch.Tensor:
        ratio = (t.logp - t.old_logp).mean(-1, keepdim=True).exp()
        open_ = _unclipped(ratio, t.advantage, low, high)
        return (ratio * t.advantage * open_ / t.logp.shape[-1]).expand_as(t.logp)

    return Method(weigh, group_relative)


def signed(positive: float, negative: float, *, low: float = 0.2, high: float = 0.2) -> Method:
    """Rewards 0 and 1 become advantages -`negative` and `positive`, without a baseline.

    (1, 0) is positive sample reinforcement (PSR), (0, 1) negative (NSR), (0.1, 1) W-REINFORCE.
    """
    if min(positive, negative) < 0:
        raise ValueError(f"positive and negative must not be negative, got {positive}, {negative}")

    def advantage(reward: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        if ((reward != 0) & (reward != 1)).any():
            raise ValueError("signed rewards are 0 and 1; got others")
        return positive * reward - negative * (1 - reward)

    return Method(_surrogate(low, high, math.inf), advantage)


def _covariance(t: Tokens, parts: int) -> torch.Tensor:
    """(A - mean A)(log p - mean log p), the means over each of `parts` parts of the answers.

    (R, P, parts, n / parts, L): prompts are pooled where there is one part.
    """
    if not t.drawn:
        raise ValueError("tokens are chosen among draws: draws must not be None")
    shape = t.logp.shape
    if shape[2] % parts:
        raise ValueError(f"parts must divide the {shape[2]} draws, got {parts}")
    advantage = t.advantage.expand(shape)
    split = [x.unflatten(2, (parts, -1)).movedim(2, 1).flatten(2) for x in (advantage, t.logp)]
    apart = [x - x.mean(-1, keepdim=True) for x in split]
    return apart[0] * apart[1]


def _joined(per_part: torch.Tensor, t: Tokens) -> torch.Tensor:
    """From (R, parts, tokens) back to the shape of the tokens."""
    runs, prompts, count, length = t.logp.shape
    parts = per_part.shape[1]
    apart = per_part.reshape(runs, parts, prompts, count // parts, length)
    return apart.movedim(1, 2).reshape(t.logp.shape)


def clip_cov(
    *,
    share: float = 2e-4,
    bounds: tuple[float, float] = (1.0, 5.0),
    quantiles: bool = False,
    clip: float = 1.0,
    parts: int = 1,
) -> Method:
    """Clip-Cov: of the tokens with a covariance within `bounds` a few, at random, get no gradient.

    As many as `share` of all, at least one. In a small problem nothing may reach the published
    bounds; with `quantiles` they are quantiles of the batch. `clip` is that of the surrogate, which
    the recipes set to 1. Covariances are taken over the batch, or over `parts` micro-batches.
    """
    inner = _surrogate(clip, clip, math.inf)

    def weigh(t: Tokens) -> torch.Tensor:
        covariance = _covariance(t, parts)
        least, most = bounds
        if quantiles:
            ends = covariance.new_tensor(bounds)
            least, most = covariance.quantile(ends, dim=-1, keepdim=True)
        weight = inner(t)
        # the surrogate has no slope where it is clipped: such a token is not drawn again
        eligible = (covariance >= least) & (covariance <= most)
        eligible &= _parted(weight != 0, t, parts)
        take = max(1, int(share * covariance.shape[-1]))
        key = torch.rand(covariance.shape, generator=t.generator, dtype=covariance.dtype)
        chosen = key.masked_fill(~eligible, 2.0).topk(take, largest=False)
        closed = torch.zeros_like(eligible).scatter_(-1, chosen.indices, chosen.values < 2)
        return weight * ~_joined(closed, t)

    return Method(weigh, group_relative)


def _parted(x: torch.Tensor, t: Tokens, parts: int) -> torch.Tensor:
    return x.unflatten(2, (parts, -1)).movedim(2, 1).flatten(2)


def kl_cov(*, share: float = 0.002, coefficient: float = 1.0, parts: int = 1) -> Method:
    """KL-Cov: the tokens of largest covariance pay `coefficient` times the size of their log-ratio.

    As many as `share` of all (0.002 for 7B, 0.0002 for 32B), at least one. Nothing is clipped, and
    on the first, on-policy step the penalty has no slope.
    """

    def weigh(t: Tokens) -> torch.Tensor:
        covariance = _covariance(t, parts)
        take = max(1, int(share * covariance.shape[-1]))
        chosen = torch.zeros_like(covariance)
        chosen.scatter_(-1, covariance.topk(take).indices, 1.0)
        pull = (t.logp - t.old_logp).sign() * _joined(chosen, t)
        return t.ratio * t.advantage - coefficient * pull

    return Method(weigh, group_relative)


def steer(
    *, least: float = 0.8, low: float = 0.2, high: float = 0.28, dual: float = 10.0
) -> Method:
    """STEER: tokens whose step would change the entropy much weigh less, `least` at the least."""
    inner = _surrogate(low, high, dual)

    def weigh(t: Tokens) -> torch.Tensor:
        p = t.logp.exp()
        omega = (t.advantage / t.old_logp.exp() * p * (1 - p) * (t.logp + t.entropy)).abs()
        most = omega.flatten(1).amax(-1).clamp_min(0.02).reshape(-1, 1, 1, 1)
        return inner(t) * least ** (omega / most)

    return Method(weigh, group_relative)


def undecided(*, share: float = 0.2, low: float = 0.2, high: float = 0.28) -> Method:
    """The 80/20 rule: only the `share` of tokens with the highest entropy has a gradient."""
    inner = _surrogate(low, high, math.inf)

    def weigh(t: Tokens) -> torch.Tensor:
        each = t.entropy.flatten(1)
        edge = each.quantile(1 - share, dim=-1, keepdim=True)
        return inner(t) * (each >= edge).view_as(t.entropy)

    return Method(weigh, group_relative)


def _slope_of_entropy(p: torch.Tensor) -> torch.Tensor:
    """By the logits, -p (log p + H)."""
    parts = torch.xlogy(p, p)
    return p * parts.sum(-1, keepdim=True) - parts


def entropy_bonus(coefficient: float, method: Method | None = None) -> Method:
    """A method (by default `reinforce`) with a reward of `coefficient` for each nat of entropy.

    The entropy is the mean over states, visited or not, here as below.
    """

    def pull(logp: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return coefficient * _slope_of_entropy(logp.exp()) / logp.shape[1], memory

    return (method or reinforce())._replace(pull=pull)


def clamped_bonus(
    coefficient: float, *, left_out: float = 0.3, method: Method | None = None
) -> Method:
    """The bonus of the policy without its least likely tokens, which hold a mass of `left_out`.

    Tokens that nobody would draw are then not lifted. Source: AEnt (2025), clamped entropy.
    """

    def pull(logp: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        p = logp.exp()
        p = p * likely(p, left_out)
        slope = _slope_of_entropy(p / p.sum(-1, keepdim=True))
        return coefficient * slope / logp.shape[1], memory

    return (method or reinforce())._replace(pull=pull)


def adaptive_bonus(
    target: float, *, change: float = 0.005, most: float = 1.0, method: Method | None = None
) -> Method:
    """A bonus whose coefficient grows by `change` while the entropy is below `target`, else falls.

    It starts at 0, stays within [0, `most`], and acts only while the entropy is at most the target.
    """

    def pull(logp: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        entropy = -(logp.exp() * logp).sum(-1).mean(-1).reshape(-1, 1, 1)
        below = entropy <= target
        memory = adapted_coefficient(memory, entropy, target=target, change=change, most=most)
        return memory * below * _slope_of_entropy(logp.exp()) / logp.shape[1], memory

    return (method or reinforce())._replace(pull=pull)


def near(
    reference: torch.Tensor,
    weight: float,
    *,
    divergence: str = "forward KL",
    alpha: float = 0.2,
    method: Method | None = None,
) -> Method:
    """A method held near a `reference` policy (S, V) or (R, S, V) by a divergence (DPH-RL).

    The mean over states of the sum of reference * f(policy / reference), with f as published:
    "forward KL" u - 1 - log u, "reverse KL" u log u, "Jensen-Shannon" u log u - (u + 1) log((u + 1)
    / 2), which is twice the divergence, or "alpha".
    """
    if divergence not in SLOPES:
        raise ValueError(f"divergence must be one of {list(SLOPES)}, got {divergence!r}")
    if weight < 0:
        raise ValueError(f"weight must not be negative, got {weight!r}")
    slope, anchor = SLOPES[divergence](alpha), reference.log()

    def pull(logp: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        p = logp.exp()
        by_p = p * slope(logp - anchor)
        return -weight * (by_p - p * by_p.sum(-1, keepdim=True)) / logp.shape[1], memory

    return (method or reinforce())._replace(pull=pull)


SLOPES: dict[str, Callable[[float], Slope]] = {
    "forward KL": lambda _: lambda log_u: 1 - (-log_u).exp(),
    "reverse KL": lambda _: lambda log_u: log_u + 1,
    "Jensen-Shannon": lambda _: (
        lambda log_u: log_u - torch.nn.functional.softplus(log_u) + math.log(2)
    ),
    "alpha": lambda alpha: lambda log_u: -(-alpha * log_u).expm1() / alpha,
}
"""f'(u) as a function of log u."""
