"""Meanings of losses of masks and of binary probabilities."""

from __future__ import annotations

import mpmath

from .dual import exp, log, softplus


def _ratio(part, whole, otherwise):
    return part / whole if whole != 0 else otherwise


def _flat(image):
    return [pixel for row in image for pixel in row]


def _overlap(one, other):
    return sum(a * b for a, b in zip(_flat(one), _flat(other), strict=True))


def dice(image, mask, *, smooth):
    areas = sum(_flat(image)) + sum(_flat(mask)) + smooth
    return 1 - _ratio(2 * _overlap(image, mask) + smooth, areas, 1)


def dsc_elementwise(p, truth, *, alpha, gamma):
    damped = (1 - p) ** alpha * p
    return _ratio(1 - damped if truth else damped, damped + truth + gamma, 0)


def tversky_elementwise(p, truth, *, alpha, beta, gamma):
    found = p * truth + gamma
    return 1 - _ratio(found, found + alpha * p * (1 - truth) + beta * (1 - p) * truth, 1)


def _neighbours(image, offsets, best):
    height, width = len(image), len(image[0])
    return [
        [
            best(
                image[i + a][j + b]
                for a, b in offsets
                if 0 <= i + a < height and 0 <= j + b < width
            )
            for j in range(width)
        ]
        for i in range(height)
    ]


CROSS = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
SQUARE = [(a, b) for a in (0, 1, -1) for b in (0, 1, -1)]


def _peeled(image):
    """The eroded image, and what opening does not give back."""
    eroded = _neighbours(image, CROSS, min)
    opened = _neighbours(eroded, SQUARE, max)
    lost = [
        [max(a - b, 0) for a, b in zip(*rows, strict=True)]
        for rows in zip(image, opened, strict=True)
    ]
    return eroded, lost


def _skeleton(image):
    image, skeleton = _peeled(image)
    for _ in range(10):
        image, lost = _peeled(image)
        skeleton = [
            [k + max(d - k * d, 0) for k, d in zip(*rows, strict=True)]
            for rows in zip(skeleton, lost, strict=True)
        ]
    return skeleton


def soft_cldice(image, mask, *, smooth):
    mask = [[int(pixel) for pixel in row] for row in mask]
    of_image, of_mask = _skeleton(image), _skeleton(mask)
    precision = _ratio(_overlap(of_image, mask) + smooth, sum(_flat(of_image)) + smooth, 1)
    sensitivity = _ratio(_overlap(of_mask, image) + smooth, sum(_flat(of_mask)) + smooth, 1)
    return 1 - _ratio(2 * precision * sensitivity, precision + sensitivity, 0)


def focal_tversky(image, mask, *, alpha, gamma, smooth):
    found = _overlap(image, mask)
    missed, invented = sum(_flat(mask)) - found, sum(_flat(image)) - found
    weighed = alpha * missed + (1 - alpha) * invented
    short = _ratio(weighed, found + weighed + smooth, 0 * found)
    return short**gamma if short != 0 else 0 * short  # no slope at a perfect prediction


def skeleton_recall(image, skeleton, *, smooth):
    total = sum(_flat(skeleton)) + smooth
    return 1 - _ratio(_overlap(image, skeleton) + smooth, total, 1)


def anyloss(probabilities, truths, *, steepness, beta):
    amplified = [1 / (1 + exp(-steepness * (p - 0.5))) for p in probabilities]
    pairs = list(zip(amplified, truths, strict=True))
    found = sum(a for a, truth in pairs if truth)
    missed = sum(1 - a for a, truth in pairs if truth)
    invented = sum(a for a, truth in pairs if not truth)
    weighed = (1 + beta**2) * found
    return 1 - weighed / (weighed + beta**2 * missed + invented)


def ips_weighted_bce(p, truth, weight):
    chance = p if truth else 1 - p
    if chance < mpmath.exp(-100):
        return weight * (100 + 0 * p)
    return -weight * log(chance)


def tri_bce(deep, shallow, truths):
    def mean(logits):
        terms = [softplus(-z if t else z) for z, t in zip(logits, truths, strict=True)]
        return sum(terms) / len(terms)

    both = mean([(d + s) / 2 for d, s in zip(deep, shallow, strict=True)])
    parts = [mean(deep), mean(shallow)]
    return both + sum(max(part - both, 0 * part) * part for part in parts)


MEANINGS = {
    meaning.__name__: meaning
    for meaning in (
        dice,
        dsc_elementwise,
        tversky_elementwise,
        focal_tversky,
        soft_cldice,
        skeleton_recall,
        anyloss,
        ips_weighted_bce,
        tri_bce,
    )
}
