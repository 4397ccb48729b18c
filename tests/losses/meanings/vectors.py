"""Meanings of losses of embeddings and of scores of candidates."""

from __future__ import annotations

import mpmath

from .dual import held, log, logsumexp, softplus, sqrt


def _dot(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def _unit(vector):
    length = sqrt(_dot(vector, vector))
    return [x / length for x in vector]


def nt_xent(z1, z2, *, temperature):
    views = [_unit(view) for view in (*z1, *z2)]
    losses = []
    for i, view in enumerate(views):
        partner = (i + len(z1)) % len(views)
        near = {k: _dot(view, v) / temperature for k, v in enumerate(views) if k != i}
        losses.append(logsumexp(list(near.values())) - near[partner])
    return losses


def arcface(embedding, class_weights, label, *, scale, margin):
    logits = [_dot(_unit(embedding), _unit(weight)) for weight in class_weights]
    cosine = logits[label]
    square = 1 - cosine * cosine
    # on the class weight itself there is a kink, whose slope is 0 by convention
    sine = sqrt(square) if held(square) > mpmath.mpf(10) ** -60 else 0
    logits[label] = cosine * mpmath.cos(margin) - sine * mpmath.sin(margin)
    logits = [scale * logit for logit in logits]
    return logsumexp(logits) - logits[label]


def decoupled_softmax(scores, relevance):
    rivals = [s for s, relevant in zip(scores, relevance, strict=True) if not relevant]
    positives = [s for s, relevant in zip(scores, relevance, strict=True) if relevant]
    return sum(logsumexp([s, *rivals]) - s for s in positives) / max(len(positives), 1)


def mw_loss(scores, labels, *, temperature):
    wrong = [s for row, y in zip(scores, labels, strict=True) for k, s in enumerate(row) if k != y]
    return [
        sum(softplus((s - row[y]) / temperature) for s in wrong) / max(len(wrong), 1)
        for row, y in zip(scores, labels, strict=True)
    ]


def pa_bce(scores, profits):
    order = sorted(range(len(profits)), key=lambda k: -profits[k])[:6]
    total = 0 * sum(scores)
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            weight = mpmath.log(1 + profits[i] - profits[j], 10)
            total += weight * softplus(scores[j] - scores[i])
    return total / len(order)


def soft_topk(scores, relevance, *, alpha):
    """The threshold in logarithms: what others let through against what the k best are missing."""
    k = sum(relevance)
    if k == 0 or k == len(scores):
        return 0 * sum(scores)
    order = sorted(range(len(scores)), key=lambda j: -held(scores[j]))

    def height(s, t):
        through = logsumexp([-softplus(-alpha * (s[j] + t)) for j in order[k:]])
        return through - logsumexp([-softplus(alpha * (s[j] + t)) for j in order[:k]])

    fixed = [held(s) for s in scores]
    low, high = -max(fixed) - 40 / alpha, -min(fixed) + 40 / alpha
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if height(fixed, middle) < 0 else (low, middle)
    t, step = (low + high) / 2, mpmath.mpf(10) ** -40
    for n in range(4):
        slope = (height(fixed, held(t) + step) - height(fixed, held(t) - step)) / (2 * step)
        t = t - height(scores if n == 3 else fixed, t) / slope
    chosen = [s for s, relevant in zip(scores, relevance, strict=True) if relevant]
    return sum(softplus(-alpha * (s + t)) for s in chosen) / k


def normalized_softmax(embedding, class_weights, label, *, scale):
    logits = [scale * _dot(_unit(embedding), _unit(weight)) for weight in class_weights]
    return logsumexp(logits) - logits[label]


def proto_triplet(query, prototypes, label, *, margin):
    distances = []
    for prototype in prototypes:
        apart = [a - b for a, b in zip(query, prototype, strict=True)]
        distances.append(sqrt(_dot(apart, apart) + mpmath.mpf(10) ** -6))
    own = distances.pop(label)
    return max(own - min(distances) + margin, 0 * own) if distances else 0 * own


def opl(embeddings, target, *, gamma):
    units = [_unit(x) for x in embeddings]
    within, across = [], []
    for i, one in enumerate(units):
        for j, other in enumerate(units):
            if i != j:
                (within if target[i] == target[j] else across).append(_dot(one, other))
    pull = sum(within) / max(len(within), 1)
    return 1 - pull + gamma * sum(abs(x) for x in across) / max(len(across), 1)


def icnn(embeddings, target, *, k=4, rivals=None):
    count, points = len(embeddings), range(len(embeddings))
    few = k + 2 >= count
    k = count - 2 if few else k
    among = min(k + 1 if rivals is None else max(rivals, k), count - 1)
    near, far, longest, own = [], [], 0, 0
    for i in points:
        others = []
        for j in points:
            apart = [a - b for a, b in zip(embeddings[i], embeddings[j], strict=True)]
            if i != j:
                distance = sqrt(_dot(apart, apart) + mpmath.mpf(10) ** -6)
                others.append((distance, target[i] == target[j]))
        others.sort(key=lambda pair: pair[0])
        rival = next((d for d, same in others[:among] if not same), mpmath.inf)
        ratios = [d / rival for d, _ in others[:k]]
        pulled = [x for x, (_, same) in zip(ratios, others[:k], strict=True) if same]
        pushed = [d for d, same in others[:k] if not same]
        if pulled:
            near.append(sum(pulled) / len(pulled) / max([1, *ratios]))
        if pushed:
            far.append(sum(pushed) / len(pushed))
            longest = max([longest, *pushed])
        own += len(pulled)
    share = 1 if few else mpmath.mpf(own) / (k * count)
    same = 1 - sum(near) / max(len(near), 1)
    apart = sum(far) / len(far) / longest if far else 1
    return -log(((same + apart) / 2 + share) / 2)


MEANINGS = {
    meaning.__name__: meaning
    for meaning in (
        nt_xent,
        arcface,
        normalized_softmax,
        proto_triplet,
        opl,
        icnn,
        decoupled_softmax,
        mw_loss,
        pa_bce,
        soft_topk,
    )
}
