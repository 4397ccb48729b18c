"""Meanings of losses of token logits and of answers."""

from __future__ import annotations

import mpmath

from .dual import exp, expm1, held, log, log1p, logsumexp, softmax, softplus


def eisl(logits, tokens, *, temperature, log_prob_floor):
    found = [
        [max(place[token] - logsumexp(place), log_prob_floor) for token in tokens]
        for place in logits
    ]
    costs = []
    for n in range(1, min(4, len(logits), len(tokens)) + 1):
        total = 0
        for i in range(len(tokens) - n + 1):
            means = [
                sum(found[a + k][i + k] for k in range(n)) / n for a in range(len(logits) - n + 1)
            ]
            choice = softmax([mean / temperature for mean in means])
            total += sum(-q * mean for q, mean in zip(choice, means, strict=True))
        costs.append(total / (len(tokens) - n + 1))
    return sum(costs) / len(costs)


def dpo(chosen, rejected, ref_chosen, ref_rejected, *, beta, label_smoothing):
    lead = beta * ((chosen - rejected) - (ref_chosen - ref_rejected))
    return (1 - label_smoothing) * softplus(-lead) + label_smoothing * softplus(lead)


def npo(logp, ref_logp, *, beta):
    return 2 / beta * softplus(beta * (logp - ref_logp))


def dco(log_probability, *, attempts):
    if log_probability == 0:
        return log_probability * 0
    return -log(-expm1(attempts * log1p(-exp(log_probability))))


def clipped_surrogate(logp, old_logp, advantage, *, clip_low, clip_high, dual_clip):
    ratio = exp(logp - old_logp)
    near = min(max(ratio, 1 - clip_low), 1 + clip_high)
    best = min(ratio * advantage, near * advantage)
    return -(max(best, dual_clip * advantage) if advantage < 0 else best)


def signed_reinforcement(logp, old_logp, right, *, positive, negative, clip_low, clip_high):
    ratio = exp(logp - old_logp)
    if right:
        return -positive * min(ratio, 1 + clip_high)
    return negative * max(ratio, 1 - clip_low)


def _covariances(logp, advantage):
    means = [sum(held(x) for x in values) / len(values) for values in (logp, advantage)]
    return [(held(x) - means[0]) * (a - means[1]) for x, a in zip(logp, advantage, strict=True)]


def clip_cov(logp, old_logp, advantage, draws, *, share, lowest, highest, clip_low, clip_high):
    rows, eligible = [], []
    covariances = _covariances(logp, advantage)
    for i, (now, old, a) in enumerate(zip(logp, old_logp, advantage, strict=True)):
        ratio = exp(now - old)
        near = min(max(ratio, 1 - clip_low), 1 + clip_high)
        rows.append(-min(ratio * a, near * a))
        clipped = near * a < ratio * a
        if lowest < covariances[i] < highest and not clipped:
            eligible.append(i)
    take = max(1, int(share * len(logp)))
    for i in sorted(eligible, key=lambda i: draws[i])[:take]:
        rows[i] = rows[i] * 0
    return rows


def kl_cov(logp, old_logp, advantage, *, share, coefficient):
    covariances = _covariances(logp, advantage)
    take = max(1, int(share * len(logp)))
    largest = sorted(range(len(logp)), key=lambda i: -covariances[i])[:take]
    return [
        -exp(now - old) * a + (coefficient * abs(now - old) if i in largest else 0)
        for i, (now, old, a) in enumerate(zip(logp, old_logp, advantage, strict=True))
    ]


def alpha_divergence(logp, ref_logp, *, alpha):
    u = exp(logp - ref_logp)
    if alpha == 1:
        return u - 1 - (logp - ref_logp)
    return (u ** (1 - alpha) - (1 - alpha) * u - alpha) / (alpha * (alpha - 1))


def attention_entropy(weights, thresholds, *, margin, coefficient):
    full = log(len(weights[0][0]))
    total = 0 * thresholds[0]
    for rows, threshold in zip(weights, thresholds, strict=True):
        for row in rows:
            entropy = -sum(a * log(a + mpmath.mpf("1e-9")) for a in row)
            off = entropy - threshold * full
            if abs(held(off)) > margin * full:
                total += off * off
    return coefficient * total / len(thresholds)


def jensen_shannon_term(logp, ref_logp):
    u = exp(logp - ref_logp)
    return u * (logp - ref_logp) - (u + 1) * log((u + 1) / 2)


MEANINGS = {
    meaning.__name__: meaning
    for meaning in (
        eisl,
        dpo,
        npo,
        dco,
        clipped_surrogate,
        signed_reinforcement,
        clip_cov,
        kl_cov,
        alpha_divergence,
        jensen_shannon_term,
        attention_entropy,
    )
}
