"""Meanings of losses of token logits and of answers."""

from __future__ import annotations

from .dual import exp, expm1, log, log1p, logsumexp, softmax, softplus


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


def dco(log_probability, *, attempts):
    if log_probability == 0:
        return log_probability * 0
    return -log(-expm1(attempts * log1p(-exp(log_probability))))


MEANINGS = {meaning.__name__: meaning for meaning in (eisl, dpo, dco)}
