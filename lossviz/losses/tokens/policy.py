"""Losses of a policy on the tokens that it drew: surrogates of the reward, and what holds it back.

Each takes the log-probabilities of the drawn tokens, now and when they were drawn. Tokens that
carry no loss are left out beforehand, ``logp[mask]``, so that a mean is over those that do.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Parameter,
    Source,
    declare,
    number,
    row_dtype,
)
from ...declaration.kinds import DRAWS, LOG_PROBABILITIES, TRUTH, VALUES
from .covariance import token_covariance

OF_A_TOKEN = replace(LOG_PROBABILITIES, span=(-4.0, 0.0), rest=(-1.5,))
BEFORE = replace(OF_A_TOKEN, learnt=False)
NOW = Argument("logp", OF_A_TOKEN, "...", "Of the drawn tokens, of the policy that learns")
THEN = Argument("old_logp", BEFORE, "...", "The same when they were drawn")
DRAWN_TOKENS = Inputs(NOW, THEN, Argument("advantage", VALUES, "...", "Of each token"))
JUDGED_TOKENS = Inputs(NOW, THEN, Argument("right", TRUTH, "...", "Whether its answer is right"))
BATCH_OF_TOKENS = Inputs(
    *(replace(argument, shape="N") for argument in DRAWN_TOKENS.arguments), rows="N", coupled=True
)
RANDOMLY_CHOSEN = Inputs(
    *BATCH_OF_TOKENS.arguments,
    Argument("draws", DRAWS, "N", "Of eligible tokens those with the least are left out",
             optional=True),
    rows="N", coupled=True,
)  # fmt: skip

TWO_TOKENS = ("log p of token A, advantage 1", "log p of token B, advantage -1")

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


def _share(least: float) -> Parameter:
    return number(
        "share", "s", "(0, 1]", (least, 1.0, (1 - least) / 20),
        "of all tokens how many are held back, at least one",
        "one token of the batch",
        "all tokens that may be",
        label="share held back", ends=("one token", "all that may be"),
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


def _surrogate(  # type: ignore[no-untyped-def]
    logp, old_logp, advantage, low: float, high: float, dual: float = math.inf
) -> torch.Tensor:
    now, old, a = (x.to(row_dtype(x)) for x in (logp, old_logp, advantage))
    return -a * _ratio(now, old, a, low, high, dual)


def _slope(logp, old_logp, advantage, low, high, dual=math.inf):  # type: ignore[no-untyped-def]
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
        lambda logp, old_logp, advantage, *, clip_low, clip_high, dual_clip: _slope(
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

    Per token; the sampled advantage is no gradient's business.
    """
    return _surrogate(logp, old_logp, advantage, clip_low, clip_high, dual_clip)


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
    one, other = (p * (slope - (p * slope).sum()) for slope in slopes)
    return 1 + one, 1 + other


@declare(
    family="policy",
    inputs=JUDGED_TOKENS,
    latex=r"\ell = -\lambda_+ \min(r, 1 + \epsilon_+) \text{ if right}, \qquad "
    r"\lambda_- \max(r, 1 - \epsilon_-) \text{ if wrong}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = -\lambda_+ r\, [r < 1 + \epsilon_+] "
        r"\text{ if right}, \quad \lambda_- r\, [r > 1 - \epsilon_-] \text{ if wrong}",
        lambda logp, old_logp, right, *, positive, negative, clip_low, clip_high: _slope(
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
    return _surrogate(logp, old_logp, signs, clip_low, clip_high)


def _unknown(*tensors: torch.Tensor) -> torch.Tensor:
    """NaN if there is one in the batch, whose covariances are then unknown; else 0."""
    found = sum(x.detach().sum() for x in tensors)
    return torch.where(torch.as_tensor(found).isnan(), torch.nan, 0.0)


LOWEST = number(
    "lowest", r"\omega_-", "(-inf, inf)", (-1.0, 2.0, 0.5),
    "least covariance of a token that may be left out",
    "any token may be left out",
    "none may be",
    label="least covariance", ends=("any", "none"),
)  # fmt: skip
HIGHEST = number(
    "highest", r"\omega_+", "(-inf, inf)", (1.0, 10.0, 0.5),
    "greatest covariance of a token that may be left out",
    "none may be left out",
    "the most extreme ones may be",
    label="greatest covariance", ends=("none", "any"),
)  # fmt: skip
CUI = "cui2025entropy"


def _left_out(  # type: ignore[no-untyped-def]
    logp, old_logp, advantage, draws, share, lowest, highest, low, high
) -> torch.Tensor:
    covariance = token_covariance(advantage, logp.detach())
    moving = _slope(logp.detach(), old_logp, advantage, low, high) != 0
    eligible = (covariance > lowest) & (covariance < highest) & moving
    take = min(max(1, int(share * len(logp))), len(logp))
    first = draws.masked_fill(~eligible, torch.inf).topk(take, largest=False)
    out = torch.zeros_like(eligible)
    return out.scatter(0, first.indices, first.values < torch.inf)


@declare(
    family="policy",
    inputs=RANDOMLY_CHOSEN,
    latex=r"\ell_i = -[i \notin I] \min\big(r_i A_i,\; \mathrm{clip}(r_i, 1 - \epsilon_-, 1 + "
    r"\epsilon_+) A_i\big), \qquad I \subset \{i : \omega_- < (A_i - \bar A)(\log \pi_i - "
    r"\overline{\log \pi}) < \omega_+\} \text{ drawn}",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial \log \pi_i} = -[i \notin I]\, r_i A_i \text{ unless "
        r"clipped}",
        lambda logp, old, a, draws, *, share, lowest, highest, clip_low, clip_high: _slope(
            logp, old, a, clip_low, clip_high
        )
        * ~_left_out(logp, old, a, draws, share, lowest, highest, clip_low, clip_high),
    ),
    parameters=(_share(2e-4), LOWEST, HIGHEST, LOW, HIGH),
    source=Source(CUI, "Clip-Cov"),
    facts=(
        Fact(
            "Bounds that no covariance reaches: the clipped surrogate without a dual clip",
            lambda logp, old, a, draws: (
                clip_cov(logp, old, a, draws, lowest=1e9, highest=1e10, reduction="none"),
                clipped_surrogate(
                    logp, old, a, clip_low=1.0, clip_high=1.0, dual_clip=1e300, reduction="none"
                ),
            ),
        ),
    ),
    stability="As of the clipped surrogate; covariances in float64.",
    notes="Give it the whole batch: the authors' code takes covariances over micro-batches. Their "
    "recipes set both clips to 1, which is the default here too.",
    related=("kl_cov", "clipped_surrogate"),
    view={
        "at": {"advantage": (1.0, -1.0), "draws": (-1.0, 0.5)},
        "frames": "lowest",
        "starts": {"lowest": 0.0},
        "labels": TWO_TOKENS,
    },
    also=("Clip-Cov", "covariance clipping"),
    use="The entropy of a policy falls too fast: a few tokens that cost most of it are left out.",
    avoid="Batches are small, so that no covariance reaches the bounds.",
)  # fmt: skip
def clip_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    draws: torch.Tensor | None,
    *,
    share: float = 2e-4,
    lowest: float = 1.0,
    highest: float = 5.0,
    clip_low: float = 1.0,
    clip_high: float = 1.0,
) -> torch.Tensor:
    """Clip-Cov: a few random tokens of large covariance have no gradient in this step.

    Which tokens is drawn anew in each call unless `draws` says it.
    """
    if draws is None:
        draws = torch.randn_like(logp)
    out = _left_out(logp, old_logp, advantage, draws, share, lowest, highest, clip_low, clip_high)
    rows = _surrogate(logp, old_logp, advantage, clip_low, clip_high)
    return torch.where(out, 0.0, rows) + _unknown(logp, old_logp, advantage)


COEFFICIENT = number(
    "coefficient", r"\beta", "[0, inf)", (0.0, 2.0, 0.1),
    "price of a nat of log-ratio on the tokens of largest covariance",
    "none: the plain policy gradient",
    "these tokens stay where they were drawn",
    label="price of a nat", ends=("free", "dear"),
)  # fmt: skip


def _largest(logp: torch.Tensor, advantage: torch.Tensor, share: float) -> torch.Tensor:
    covariance = token_covariance(advantage, logp.detach())
    take = min(max(1, int(share * len(logp))), len(logp))
    return torch.zeros_like(covariance).scatter(0, covariance.topk(take).indices, 1.0)


@declare(
    family="policy",
    inputs=BATCH_OF_TOKENS,
    latex=r"\ell_i = -r_i A_i + \beta\, [i \in I]\, \lvert \log r_i \rvert, \qquad I = \text{the "
    r"largest } (A_i - \bar A)(\log \pi_i - \overline{\log \pi})",
    gradient=Gradient(
        r"\frac{\partial \ell_i}{\partial \log \pi_i} = -r_i A_i + \beta\, [i \in I]\, "
        r"\mathrm{sign}(\log r_i)",
        lambda logp, old, a, *, share, coefficient: (
            -a * (logp - old).exp()
            + coefficient * _largest(logp, a, share).to(logp) * (logp - old).sign()
        ),
    ),
    parameters=(_share(0.002), COEFFICIENT),
    source=Source(CUI, "KL-Cov"),
    facts=(
        Fact(
            "On the policy that drew the tokens it is minus the advantage: the penalty and its "
            "slope are 0 in the first step on a batch",
            lambda logp, old, a: (kl_cov(old, old, a, reduction="none"), -a),
        ),
    ),
    stability="Covariances in float64. The ratio is not clipped and may overflow.",
    notes="The published shares are 0.002 for 7B and 0.0002 for 32B with coefficient 1; verl's "
    "configuration has 0.0002 and 0.1. The penalty is the size of the log-ratio at the drawn "
    "token, no divergence.",
    related=("clip_cov", "clipped_surrogate"),
    view={
        # of two tokens the covariances are equal: both are held, or rounding would choose
        "at": {"advantage": (1.0, -1.0)},
        "starts": {"share": 1.0},
        "labels": TWO_TOKENS,
    },
    also=("KL-Cov", "covariance penalty"),
    use="The entropy of a policy falls too fast: the tokens that cost most of it are held.",
    avoid="Each batch serves for one step: the penalty then does nothing at all.",
)
def kl_cov(
    logp: torch.Tensor,
    old_logp: torch.Tensor,
    advantage: torch.Tensor,
    *,
    share: float = 0.002,
    coefficient: float = 1.0,
) -> torch.Tensor:
    """KL-Cov: the policy gradient, with a price on moving the tokens of largest covariance.

    Nothing is clipped.
    """
    now, old, a = (x.to(row_dtype(logp)) for x in (logp, old_logp, advantage))
    change = now - old
    held = coefficient * _largest(now, a, share).to(now) * change.abs()
    return -a * change.exp() + held + _unknown(now, old, a)


REFERENCE_TOKENS = Inputs(
    Argument("logp", OF_A_TOKEN, "...", "Of tokens drawn from the reference"),
    Argument("ref_logp", BEFORE, "...", "Their log-probabilities under the reference itself"),
)
ALPHA = number(
    "alpha", r"\alpha", "[0.01, 1]", (0.1, 1.0, 0.1),
    "from the reverse (0) to the forward Kullback-Leibler divergence (1)",
    "tokens that the policy has lost cost little",
    "they cost without bound",
    label="order", ends=("nearly reverse KL", "forward KL"),
)  # fmt: skip
DPH = "li2025choice"


def _alpha(log_u: torch.Tensor, alpha: float) -> torch.Tensor:
    beta = 1 - alpha
    if not beta:
        return log_u.expm1() - log_u
    large = log_u > 100
    safe = torch.where(large, 0.0, log_u)
    near = safe.expm1() - (beta * safe).expm1() / beta
    # one exponential, where the difference of two would be one of infinities
    safe = torch.where(large, log_u, 100.0)
    rest = (-(alpha * safe).clamp_max(600.0)).exp()  # no 0, which times an infinite slope is NaN
    far = (safe + torch.log1p(-rest / beta)).exp() + (1 / beta - 1)
    return torch.where(large, far, near) / alpha


@declare(
    family="policy",
    inputs=REFERENCE_TOKENS,
    latex=r"\ell = \frac{u^{1 - \alpha} - (1 - \alpha) u - \alpha}{\alpha (\alpha - 1)}, \qquad "
    r"u = \frac{\pi(a)}{\pi_{\mathrm{ref}}(a)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = \frac{u - u^{1 - \alpha}}{\alpha}",
        lambda logp, ref, *, alpha: (
            ((logp - ref).exp() - ((1 - alpha) * (logp - ref)).exp()) / alpha
        ),
    ),
    parameters=(ALPHA,),
    source=Source(DPH, "the alpha divergence of DPH-RL", "exact here; their code clamps"),
    facts=(
        Fact(
            "alpha = 1 is u - 1 - log u, whose mean is the forward Kullback-Leibler divergence",
            lambda logp, ref: (
                alpha_divergence(logp, ref, alpha=1.0, reduction="none"),
                (logp - ref).expm1() - (logp - ref),
            ),
        ),
        Fact(
            "Never negative, and 0 where the policy agrees with the reference (both sides plus 1)",
            lambda logp, ref: (
                torch.cat([1 + alpha_divergence(ref, ref, reduction="none"),
                           alpha_divergence(logp, ref, reduction="none").sign()]),
                torch.ones(2 * len(ref)).double(),
            ),
        ),
    ),
    stability="Through expm1 of multiples of log u, exact where u is near 1.",
    related=("jensen_shannon_term", "kl_cov"),
    view={"axes": {"logp": (-6.0, 0.0), "ref_logp": (-6.0, 0.0)}},
    also=("DPH-RL", "forward KL", "k3 estimator", "rehearsal", "f-divergence"),
    use="A policy is trained by reward and should keep the answers that it had at first.",
    avoid="The reference is worth nothing: what it likes is kept whether right or wrong.",
)  # fmt: skip
def alpha_divergence(
    logp: torch.Tensor, ref_logp: torch.Tensor, *, alpha: float = 0.2
) -> torch.Tensor:
    """Alpha divergence: its term at tokens drawn from a reference; the mean estimates it.

    In nats. A regulariser, to be added to a surrogate with a small weight.
    """
    dtype = row_dtype(logp)
    return _alpha(logp.to(dtype) - ref_logp.to(dtype), alpha)


def _generator(log_u: torch.Tensor) -> torch.Tensor:
    large = log_u > 40
    safe = torch.where(large, 0.0, log_u)
    middle = torch.nn.functional.softplus(safe) - math.log(2)
    near = safe.exp() * (safe - middle) - middle
    safe = torch.where(large, log_u, 40.0)
    return torch.where(large, safe.exp() * math.log(2) - 1 - safe + math.log(2), near)


@declare(
    family="policy",
    inputs=REFERENCE_TOKENS,
    latex=r"\ell = u \log u - (u + 1) \log \frac{u + 1}{2}, \qquad "
    r"u = \frac{\pi(a)}{\pi_{\mathrm{ref}}(a)}",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial \log \pi(a)} = u \log \frac{2 u}{u + 1}",
        lambda logp, ref: (
            (logp - ref).exp()
            * (logp - ref - torch.nn.functional.softplus(logp - ref) + math.log(2))
        ),
    ),
    source=Source(DPH, "the Jensen-Shannon generator of DPH-RL"),
    facts=(
        Fact(
            "A token that the policy has lost costs log 2, and hardly pulls at all",
            lambda logp, ref: (
                jensen_shannon_term(ref - 60.0, ref, reduction="none"),
                torch.full_like(ref, math.log(2)),
            ),
        ),
    ),
    stability="(u + 1)/2 through a softplus.",
    notes="Its mean over tokens of the reference is twice the Jensen-Shannon divergence.",
    related=("alpha_divergence",),
    view={"axes": {"logp": (-6.0, 0.0), "ref_logp": (-6.0, 0.0)}},
    also=("DPH-RL", "JS divergence"),
    use="A policy is held near a reference by a bounded price.",
    avoid="Lost answers are to be brought back: its slope vanishes just there.",
)
def jensen_shannon_term(logp: torch.Tensor, ref_logp: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon term: at tokens drawn from a reference, with a bounded price for lost ones.

    In nats.
    """
    dtype = row_dtype(logp)
    return _generator(logp.to(dtype) - ref_logp.to(dtype))
