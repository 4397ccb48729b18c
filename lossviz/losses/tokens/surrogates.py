"""Surrogates of the reward: losses of a policy on the tokens that it drew.

Each takes the log-probabilities of the drawn tokens, now and when they were drawn. Tokens that
carry no loss are left out beforehand, ``logp[mask]``, so that a mean is over those that do.
"""

from __future__ import annotations

import math

import torch

from ...declaration import Argument, Fact, Gradient, Inputs, Source, declare, number, row_dtype
from ...declaration.kinds import TRUTH
from . import DRAWN_TOKENS, NOW, THEN

JUDGED_TOKENS = Inputs(NOW, THEN, Argument("right", TRUTH, "...", "Whether its answer is right"))

LOW = number(
    "clip_low", r"\epsilon_-", "(0, 1]", (0.05, 1.0, 0.05),
    "how far the probability of a token may fall, as a share, before its gradient stops",
    "tokens are hardly pushed down",
    "1: they are pushed down as far as it goes",
    label="clip below", ends=("at once", "never"),
)  # fmt: skip
HIGH = number(
    "clip_high", r"\epsilon_+", "(0, inf)", (0.05, 1.0, 0.05),
    "how far it may rise, as a share",
    "tokens are hardly pulled up",
    "they are pulled up as far as it goes",
    label="clip above", ends=("at once", "late"),
)  # fmt: skip
DUAL = number(
    "dual_clip", "c", "(1, inf)", (1.5, 10.0, 0.5),
    "the ratio at which a token with a negative advantage stops counting",
    "a bad token that has become likelier is left alone",
    "it is pushed down however far it has risen",
    label="greatest ratio of a bad token", ends=("small", "large"),
)  # fmt: skip


def _ratio(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    low: float,
    high: float,
    dual: float = math.inf,
) -> torch.Tensor:
    """The ratio of probabilities, kept where the pessimistic surrogate has a slope."""
    good = advantage >= 0
    below = math.log1p(-low) if low < 1 else -math.inf
    change = logp - old_logp
    number = change.new_tensor
    least = torch.where(good, number(-math.inf), number(below))
    most = torch.where(good, number(math.log1p(high)), number(math.log(dual)))
    # clipped before the exponential, so that no ratio overflows where it does not count; by
    # comparisons, which leave NaN in value and slope
    change = torch.where(change > most, most, torch.where(change < least, least, change))
    return change.exp()


def surrogate(  # type: ignore[no-untyped-def]
    logp, old_logp, advantage, low: float, high: float, dual: float = math.inf
) -> torch.Tensor:
    now, old, a = (x.to(row_dtype(x)) for x in (logp, old_logp, advantage))
    return -a * _ratio(now, old, a, low, high, dual)


def slope(logp, old_logp, advantage, low, high, dual=math.inf):  # type: ignore[no-untyped-def]
    d = logp - old_logp
    moving = torch.where(advantage >= 0, d.exp() < 1 + high, (d.exp() > 1 - low) & (d.exp() < dual))
    return -advantage * d.exp() * moving


SCHULMAN = Source("schulman2017ppo", "eq. 7, the clipped surrogate")


@declare(
    family="policy",
    inputs=DRAWN_TOKENS,
    latex=r"\ell = -\min\big(r A,\; \mathrm{clip}(r, 1 - \epsilon_-, 1 + \epsilon_+) A\big), "
    r"\text{ not above } {-c}A \text{ where } A < 0, \qquad "
    r"r = \frac{\pi(a)}{\pi_{\mathrm{old}}(a)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = -r A \text{ where } A > 0, r < 1 + "
        r"\epsilon_+ \text{ or } A < 0, 1 - \epsilon_- < r < c; \text{ else } 0",
        lambda logp, old_logp, advantage, *, clip_low, clip_high, dual_clip: slope(
            logp, old_logp, advantage, clip_low, clip_high, dual_clip
        ),
    ),
    parameters=(LOW, HIGH, DUAL),
    source=SCHULMAN,
    facts=(
        Fact(
            "On the policy that drew the tokens it is minus the advantage, and so is its slope: "
            "the plain policy gradient",
            lambda logp, old, a: (clipped_surrogate(old, old, a, reduction="none"), -a),
        ),
        Fact(
            "It is no smaller than minus the ratio times the advantage, where the ratio is below "
            "the dual clip: a pessimist's estimate",
            lambda logp, old, a: (
                (ours := clipped_surrogate(old - 0.2 * a.abs(), old, a, reduction="none")),
                torch.maximum(ours, -(-0.2 * a.abs()).exp() * a),
            ),
        ),
    ),
    stability="The log-ratio is clipped before the exponential, which changes neither value nor "
    "slope and keeps both finite.",
    notes="Different clips above and below (0.2 and 0.28, say) are called clip-higher. The clip "
    "acts only from the second step on a batch on.",
    related=("signed_reinforcement", "clip_cov", "kl_cov"),
    view={"axes": {"logp": (-4.0, 0.0), "advantage": (-2.0, 2.0)}, "at": {"old_logp": -1.0},
          "point": (-1.5, 1.0)},
    also=("PPO", "GRPO", "clip-higher", "DAPO", "dual clip", "policy gradient loss", "REINFORCE"),
    use="A policy is trained on its own samples, several steps on each batch.",
    avoid="Samples come from elsewhere: the ratio is then far from 1 and most gradients are cut.",
)  # fmt: skip
def clipped_surrogate(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 3.0,
) -> torch.Tensor:
    """Clipped surrogate: the policy gradient's loss, flat once a token has moved far enough.

    Per token; the sampled advantage takes no gradient.
    """
    return surrogate(logp, old_logp, advantage, clip_low, clip_high, dual_clip)


POSITIVE = number(
    "positive", r"\lambda_+", "[0, inf)", (0.0, 1.0, 0.05),
    "advantage of the tokens of a right answer",
    "0: only what is wrong teaches (NSR)",
    "right answers are pulled up as well",
    label="weight of right answers", ends=("none", "full"),
)  # fmt: skip
NEGATIVE = number(
    "negative", r"\lambda_-", "[0, inf)", (0.0, 1.0, 0.05),
    "minus the advantage of the tokens of a wrong answer",
    "0: only what is right teaches (PSR)",
    "wrong answers are pushed down as well",
    label="weight of wrong answers", ends=("none", "full"),
)  # fmt: skip


def _signs(right: torch.Tensor, positive: float, negative: float) -> torch.Tensor:
    one, other = (right.new_tensor(x, dtype=row_dtype(right)) for x in (positive, -negative))
    return torch.where(right, one, other)


def _expected_updates(
    logp: torch.Tensor, _old: torch.Tensor, right: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    p = logp.softmax(-1)
    # on the policy that draws, the slope by log p is the loss itself
    slopes = (
        signed_reinforcement(
            p.log(), p.log(), right, positive=positive, negative=1 - positive, reduction="none"
        )
        for positive in (1.0, 0.0)
    )
    one, other = (p * (each - (p * each).sum()) for each in slopes)
    return 1 + one, 1 + other


@declare(
    family="policy",
    inputs=JUDGED_TOKENS,
    latex=r"\ell = -\lambda_+ \min(r, 1 + \epsilon_+) \text{ if right}, \qquad "
    r"\lambda_- \max(r, 1 - \epsilon_-) \text{ if wrong}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = -\lambda_+ r\, [r < 1 + \epsilon_+] "
        r"\text{ if right}, \quad \lambda_- r\, [r > 1 - \epsilon_-] \text{ if wrong}",
        lambda logp, old_logp, right, *, positive, negative, clip_low, clip_high: slope(
            logp, old_logp, _signs(right, positive, negative), clip_low, clip_high
        ),
    ),
    parameters=(POSITIVE, NEGATIVE, LOW, HIGH),
    source=Source("zhu2025surprising", "PSR, NSR and W-REINFORCE"),
    facts=(
        Fact(
            "The clipped surrogate with the signed weights as advantages, without a dual clip",
            lambda logp, old, right: (
                signed_reinforcement(old / 2 + logp / 2, old, right, reduction="none"),
                clipped_surrogate(
                    old / 2 + logp / 2, old, _signs(right, 0.1, 1.0),
                    dual_clip=1e300, reduction="none",
                ),
            ),
        ),
        Fact(
            "Averaged over a policy's own draws, pulling right answers up and pushing wrong ones "
            "down are the same update of its logits: they differ by a baseline",
            _expected_updates,
        ),
    ),
    stability="As of the clipped surrogate.",
    notes="The published PSR and NSR drop the other answers from the batch, mean included; here "
    "they count as 0, which changes the step's length alone.",
    related=("clipped_surrogate",),
    view={"axes": {"logp": (-4.0, 0.0), "old_logp": (-4.0, 0.0)}, "starts": {"positive": 1.0}},
    also=("PSR", "NSR", "W-REINFORCE", "negative reinforcement", "positive sample reinforcement"),
    use="Answers are right or wrong, and the wrong ones are to teach more than the right ones.",
    avoid="Rewards are graded: it sees only right and wrong.",
)  # fmt: skip
def signed_reinforcement(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    right: torch.Tensor,
    *,
    positive: float = 0.1,
    negative: float = 1.0,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> torch.Tensor:
    """Signed reinforcement: right answers are pulled up and wrong ones pushed down, apart.

    The default weights are those of W-REINFORCE.
    """
    signs = _signs(right, positive, negative)
    return surrogate(logp, old_logp, signs, clip_low, clip_high)
