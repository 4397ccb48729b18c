"""Meanings of losses of logits, of values and of binary scores."""

from __future__ import annotations

import math
from itertools import pairwise

import mpmath
import numpy as np

from .dual import Dual, exp, held, log, logsumexp, partials, softmax, softplus, sqrt


def _cross_entropy(logits, target):
    total = logsumexp(logits)
    return sum(t * (total - z) for t, z in zip(target, logits, strict=True) if t != 0)


def symmetric_ce(student, teacher, *, alpha):
    forward = _cross_entropy(student, softmax(teacher))
    reverse = _cross_entropy(teacher, softmax(student))
    return (1 - alpha) * forward + alpha * reverse


def adv_comp_sum(clean, adversarial, label, *, tau, rho, nu):
    others = [k for k in range(len(clean)) if k != label]
    u = sum(exp((clean[k] - clean[label]) / rho) for k in others)
    phi = log(1 + u) if tau == 1 else ((1 + u) ** (1 - tau) - 1) / (1 - tau)
    moves = [(adversarial[label] - adversarial[k]) - (clean[label] - clean[k]) for k in others]
    return phi + nu * sqrt(sum(move * move for move in moves))


def two_hot(logits, y, *, v_min, v_max):
    step = (v_max - v_min) / (len(logits) - 1)
    places = [v_min + i * step for i in range(len(logits))]
    return _cross_entropy(logits, [max(0, 1 - abs(y - place) / step) for place in places])


def hl_gauss(logits, y, *, v_min, v_max, sigma_over_binwidth):
    width = (v_max - v_min) / len(logits)
    edges = [v_min + i * width for i in range(len(logits) + 1)]
    sigma = sigma_over_binwidth * width
    cdf = [mpmath.erf((edge - y) / (mpmath.sqrt(2) * sigma)) for edge in edges]
    return _cross_entropy(logits, [(b - a) / (cdf[-1] - cdf[0]) for a, b in pairwise(cdf)])


def aldr_kl(logits, label, *, lam0, alpha, margin):
    """At the temperature where it is largest, which the gradient does not see."""
    leads = [z - logits[label] + margin for k, z in enumerate(logits) if k != label]
    count = len(logits)
    if count == 1:
        return 0 * logits[label]

    def height(lam, leads):
        psi = lam * (logsumexp([0 * lam, *(lead / lam for lead in leads)]) - mpmath.log(count))
        return psi - alpha * mpmath.log(count) / (2 * lam0) * (lam - lam0) ** 2

    fixed = [held(lead) for lead in leads]
    grid = float(lam0) * (1 - np.arange(60) / (60 * float(alpha)))
    scores = np.array([0.0, *map(float, fixed)]) / grid[:, None]
    heights = np.logaddexp.reduce(scores, axis=1) - math.log(count)
    price = float(alpha / lam0) * math.log(count) / 2 * (grid - float(lam0)) ** 2
    best = mpmath.mpf(grid[(grid * heights - price).argmax()])
    slope = lambda lam: partials(height(Dual(lam, {0: mpmath.mpf(1)}), fixed))[0]  # noqa: E731
    with mpmath.workdps(40):
        root = mpmath.findroot(slope, (best, best * (1 - mpmath.mpf(10) ** -6)))
    return height(root, leads)


def ensloss(scores, truths, draws, *, lam, clip, eps):
    margins = [s if t else -s for s, t in zip(scores, truths, strict=True)]

    def magnitude(draw):
        if lam == 0:
            return mpmath.exp(draw)
        base = max(1 + lam * draw, mpmath.mpf(0))
        return base ** (1 / lam) if base > 0 else (mpmath.inf if lam < 0 else base)

    slopes = sorted(max(-magnitude(draw), clip) for draw in draws)
    order = sorted(range(len(margins)), key=lambda i: held(margins[i]))
    losses = list(margins)
    for slope, i in zip(slopes, order, strict=True):
        drawn = slope / max(mpmath.mpf(1), held(margins[i])) - eps
        losses[i] = drawn * margins[i]
    return losses


def balanced_softmax_ce(logits, label, counts):
    raised = [z + mpmath.log(n) for z, n in zip(logits, counts, strict=True)]
    return logsumexp(raised) - raised[label]


def ordinal_cross_entropy(logits, label):
    return sum(softplus(-z if label > k else z) for k, z in enumerate(logits))


def ihl(logits, label):
    p = softmax(logits)
    return 1 + p[label] - max(q for k, q in enumerate(p) if k != label)


def emo(logits, label, embeddings):
    lengths = [mpmath.sqrt(sum(x * x for x in e)) for e in embeddings]
    total = 0
    for k, q in enumerate(softmax(logits)):
        inner = sum(a * b for a, b in zip(embeddings[label], embeddings[k], strict=True))
        size = lengths[label] * lengths[k]
        total += q * ((1 - inner / size if size else 1) if k != label else 0)
    return total


def corn(logits, label):
    return sum(softplus(-z if label > k else z) for k, z in enumerate(logits) if label >= k)


def pld(student, teacher, label, *, temperature):
    others = [k for k in range(len(teacher)) if k != label]
    ranking = [label, *sorted(others, key=lambda k: -teacher[k])]
    weights = softmax([t / temperature for t in teacher])
    total = 0 * student[label]
    for place, k in enumerate(ranking):
        left = [student[j] for j in ranking[place:]]
        total += weights[k] * (logsumexp(left) - student[k])
    return total


def tempered_kl(student, teacher, *, temperature):
    s, t = ([z / temperature for z in model] for model in (student, teacher))
    terms = zip(softmax(t), s, t, strict=True)
    sums = logsumexp(s) - logsumexp(t)
    return temperature**2 * sum(q * (b - a + sums) for q, a, b in terms)


def binary_kl(student, teacher, *, temperature):
    total = 0
    for s, t in zip(student, teacher, strict=True):
        s, t = s / temperature, t / temperature
        for sign in (1, -1):
            log_q = -softplus(-sign * t)
            total += exp(log_q) * (log_q + softplus(-sign * s))
    return temperature**2 * total


def binary_kl_norm(student, teacher, *, temperature):
    gaps = [(s - t) / temperature for s, t in zip(student, teacher, strict=True)]
    return temperature**2 * sum((softplus(x) + softplus(-x)) / 2 - log(2) for x in gaps)


def dual_head(logits, copying, teacher, label, *, alpha, gamma, temperature):
    copied = binary_kl_norm(copying, teacher, temperature=temperature)
    return gamma * (logsumexp(logits) - logits[label]) + alpha * copied


def _divergence(weights, of):
    sums = logsumexp(of) - logsumexp(weights)
    terms = zip(softmax(weights), weights, of, strict=True)
    return sum(q * (a - b + sums) for q, a, b in terms)


def noisefit_hybrid(clean, one, two, label, *, alpha, lambda_consistency, temperature):
    taught = [z / temperature for z in clean]
    soft = (_divergence(taught, one) + _divergence(taught, two)) / 2
    nll = logsumexp(clean) - clean[label]
    return alpha * nll + (1 - alpha) * soft + lambda_consistency * _divergence(two, one)


def z_loss(logits, *, coefficient):
    return coefficient * logsumexp(logits) ** 2


def ca_loss(logits, label):
    best = max(range(len(logits)), key=lambda k: (held(logits[k]), -k))
    return (softmax(logits)[best] - (1 if best == label else 0)) ** 2


def gaussian_nll(mean, y, variance, *, eps):
    """Below the floor the slope in the variance is that at the floor."""
    variance = variance + (max(held(variance), eps) - held(variance))
    return (log(variance) + (y - mean) ** 2 / variance) / 2


def interpolating_bag_loss(members, response, *, rho):
    mean = sum(members) / len(members)
    spread = sum((f - mean) ** 2 for f in members) / len(members)
    return (response - mean) ** 2 + rho * spread


def bacs_weighted_ce(logits, label, seen, *, gamma, threshold):
    weight = 1
    if label == 0:
        weight = (0 if seen > threshold else 1 - seen) ** gamma
    ground = logits[:1] if label == 0 else logits[1:]
    total = logsumexp(logits)
    return weight * (total - logsumexp(ground)) + total - logits[label]


def bmc_loss(predictions, values, *, noise_sigma):
    double = 2 * noise_sigma**2
    rows = []
    for mu, value in zip(predictions, values, strict=True):
        logits = [-((mu - other) ** 2) / double for other in values]
        rows.append(double * (logsumexp(logits) + (mu - value) ** 2 / double))
    return rows


def gai_loss(mu, value, means, weights, variances, *, noise_sigma):
    terms = []
    for mean, weight, variance in zip(means, weights, variances, strict=True):
        spread = variance + noise_sigma**2
        log_density = -mpmath.log(spread) / 2 - (mu - mean) ** 2 / (2 * spread)
        terms.append(mpmath.log(weight) + log_density)
    whole = (mu - value) ** 2 / (2 * noise_sigma**2) + mpmath.log(noise_sigma) + logsumexp(terms)
    return 2 * noise_sigma**2 * whole


MEANINGS = {
    meaning.__name__: meaning
    for meaning in (
        symmetric_ce,
        adv_comp_sum,
        two_hot,
        hl_gauss,
        aldr_kl,
        ensloss,
        balanced_softmax_ce,
        ordinal_cross_entropy,
        corn,
        ihl,
        emo,
        pld,
        tempered_kl,
        binary_kl,
        binary_kl_norm,
        dual_head,
        noisefit_hybrid,
        z_loss,
        ca_loss,
        gaussian_nll,
        bmc_loss,
        gai_loss,
        interpolating_bag_loss,
        bacs_weighted_ce,
    )
}
