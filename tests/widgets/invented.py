"""Losses invented for the tests of pictures: two of each kind of input, nothing but declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lossviz.declaration import Argument, Inputs, Loss, Source, declaration_of, declare, number
from lossviz.declaration.kinds import (
    CLASS_WEIGHTS,
    COUNTS,
    DRAWS,
    EMBEDDINGS,
    LOG_PROBABILITIES,
    LOGITS,
    MASK,
    PREDICTIONS,
    PROBABILITIES,
    SCORES,
    TEACHER,
    TRUTH,
    VALUES,
    VARIANCES,
    WEIGHTS,
    Kind,
    labels,
)

TEMPERATURE = number(
    "temperature", r"\tau", "(0, inf)", (0.1, 2.0, 0.1), "scale of the scores", "one", "all"
)
BETA = number("beta", r"\beta", "(0, inf)", (0.05, 1.0, 0.05), "inverse of the slack", "0", "1")
MARGIN = number("margin", "m", "[0, inf)", (0.0, 1.0, 0.1), "how far apart", "touching", "far")
SMOOTH = number("smooth", "s", "[0, inf)", (0.0, 2.0, 0.5), "added twice", "exact", "smooth")
INVENTED: dict[str, Loss] = {}


def invent(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., torch.Tensor]]:
    """Declare a loss for the tests."""

    def decorate(formula: Callable[..., Any]) -> Callable[..., torch.Tensor]:
        function = declare(family="invented", latex="x", source=Source("none"), **options)(formula)
        INVENTED[formula.__name__] = declaration_of(function)
        return function

    return decorate


# Logits of classes, levels, tokens and bins.

COUNTED = Inputs(
    Argument("logits", LOGITS, "... K"),
    Argument("target", labels("K", ignorable=True), "..."),
    Argument("class_counts", COUNTS, "K"),
)
STUDENT = Inputs(
    Argument("student", LOGITS, "... K"),
    Argument("teacher", TEACHER, "... K"),
    Argument("target", labels("K", ignorable=True), "..."),
)
LEVELS = Inputs(Argument("logits", LOGITS, "... J"), Argument("level", labels("J", more=1), "..."))
TOKENS = Inputs(
    Argument("logits", LOGITS, "B T V"),
    Argument("tokens", labels("V", ignorable=True), "B T"),
    rows="B",
)
BINS = Inputs(Argument("logits", LOGITS, "... M"), Argument("y", VALUES, "..."))
ATTACKED = Inputs(
    Argument("logits", LOGITS, "... K"),
    Argument("adversarial", LOGITS, "... K"),
    Argument("target", labels("K"), "..."),
)


@invent(inputs=COUNTED)
def prior(logits, target, class_counts):
    """Prior: cross-entropy with a prior."""
    return F.cross_entropy(logits + class_counts.log(), target, reduction="none")


@invent(inputs=STUDENT, parameters=(TEMPERATURE,))
def distil(student, teacher, target, *, temperature: float = 1.0):
    """Distil: cross-entropy beside a teacher."""
    taught = (teacher / temperature).softmax(-1)
    hard = F.cross_entropy(student, target, reduction="none")
    return hard - (taught * student.log_softmax(-1)).sum(-1)


@invent(inputs=LEVELS)
def thresholds(logits, level):
    """Thresholds: one question for each threshold."""
    above = (level.unsqueeze(-1) > torch.arange(logits.shape[-1])).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, above, reduction="none").sum(-1)


@invent(inputs=TOKENS, parameters=(TEMPERATURE,))
def anywhere(logits, tokens, *, temperature: float = 1.0):
    """Anywhere: each token at the place where it fits best."""
    found = logits.log_softmax(-1).gather(-1, tokens.unsqueeze(1).expand_as(logits))
    weights = (found / temperature).softmax(1)
    return -(weights * found).sum(1).mean(-1)


@invent(
    inputs=BINS,
    view={
        "frames": number("y", "y", "[-1, 1]", (-1, 1, 0.2), "what is learnt", "", "", default=0.4),
        "classes": {1: "the middle bin", 0: "the lowest bin", 2: "the highest bin"},
    },
)
def expected_bin(logits, y):
    """Expected bin: squared error of the mean."""
    return (logits.softmax(-1) @ torch.linspace(-1, 1, logits.shape[-1]).to(logits) - y) ** 2


@invent(inputs=ATTACKED, parameters=(BETA,), view={"scale": "log"})
def attacked(logits, adversarial, target, *, beta: float = 0.5):
    """Attacked: cross-entropy of both."""
    clean, moved = (F.cross_entropy(z, target, reduction="none") for z in (logits, adversarial))
    return clean + beta * moved


# Numbers of rows.

PAIRS = Inputs(
    *(
        Argument(f"{model}_{answer}_logp", LOG_PROBABILITIES, "...")
        for model in ("policy", "ref")
        for answer in ("chosen", "rejected")
    )
)
RANKED = Inputs(Argument("scores", SCORES, "B M"), Argument("relevance", TRUTH, "B M"), rows="B")
NORMAL = Inputs(
    Argument("mean", PREDICTIONS, "..."),
    Argument("variance", VARIANCES, "..."),
    Argument("y", VALUES, "..."),
)
CHANCES = Inputs(Argument("probabilities", PROBABILITIES, "..."), Argument("target", TRUTH, "..."))
WHOLE = Inputs(
    Argument("output", LOGITS, "B"),
    Argument("target", TRUTH, "B"),
    Argument("noise", DRAWS, "B"),
    rows="",
)


@invent(inputs=PAIRS, parameters=(BETA,))
def preferred(
    policy_chosen_logp, policy_rejected_logp, ref_chosen_logp, ref_rejected_logp, *,
    beta: float = 0.1,
):  # fmt: skip
    """Preferred: the chosen answer gains on the rejected one."""
    gain = policy_chosen_logp - policy_rejected_logp - (ref_chosen_logp - ref_rejected_logp)
    return F.softplus(-beta * gain)


@invent(inputs=RANKED, parameters=(TEMPERATURE,))
def ranked(scores, relevance, *, temperature: float = 1.0):
    """Ranked: the relevant ones against all."""
    logs = (scores / temperature).log_softmax(-1)
    return -torch.where(relevance, logs, 0).sum(-1)


@invent(inputs=NORMAL)
def normal(mean, variance, y):
    """Normal: likelihood of a normal distribution."""
    return 0.5 * (variance.log() + (y - mean) ** 2 / variance)


@invent(inputs=CHANCES, parameters=(SMOOTH,))
def overlap(probabilities, target, *, smooth: float = 1.0):
    """Overlap: what is missed."""
    truth = target.to(probabilities)
    return 1 - (2 * probabilities * truth + smooth) / (probabilities + truth + smooth)


@invent(inputs=WHOLE, parameters=(BETA,), view={"pull": "pull on A", "at": {"target": (1, 1)}})
def whole(output, target, noise, *, beta: float = 0.5):
    """Whole: a loss of the whole batch."""
    return (F.softplus(output) * target + beta * (output - noise) ** 2).sum()


# Sets, bags, noised data and a tensor alone.

CLOUDS = Inputs(Argument("x", PREDICTIONS, "N D"), Argument("y", VALUES, "M D"), rows="")
NOISED = Inputs(
    Argument("output", PREDICTIONS, "... D"),
    Argument("noise", VALUES, "... D"),
    Argument("level", WEIGHTS, "..."),
)
BAGS = Inputs(
    Argument("prediction", PREDICTIONS, "N"),
    Argument("bag", labels("B", noun="bags"), "N"),
    Argument("target", VALUES, "B"),
    rows="B",
)
ALONE = Inputs(Argument("weights", PREDICTIONS, "... D"))


@invent(inputs=CLOUDS)
def two_clouds(x, y):
    """Two clouds: how far apart two sets of points lie, in the squared energy distance."""
    between, within = torch.cdist(x, y).mean(), torch.cdist(y, y).mean()
    return 2 * between - within - torch.cdist(x, x).mean()


@invent(inputs=NOISED)
def noised(output, noise, level):
    """Noised: what the network says of the noise, weighted by its level."""
    return level * ((output - noise) ** 2).mean(-1)


@invent(inputs=BAGS)
def bagged(prediction, bag, target):
    """Bagged: the sum over each bag is known."""
    return (target.index_add(0, bag, -prediction)) ** 2


@invent(inputs=ALONE)
def peaked(weights):
    """Peaked: the kurtosis of each row."""
    squares = (weights - weights.mean(-1, keepdim=True)) ** 2
    return (squares**2).mean(-1) / (squares.mean(-1) + 0.1) ** 2


# Embeddings.

VIEWS = Inputs(
    Argument("z1", EMBEDDINGS, "N D"),
    Argument("z2", EMBEDDINGS, "N D"),
    rows="N",
    coupled=True,
    exchange=(("z1", "z2"),),
)
HEAD = Inputs(
    Argument("embeddings", EMBEDDINGS, "N D"),
    Argument("class_weights", CLASS_WEIGHTS, "C D"),
    Argument("target", labels("C"), "N"),
    rows="N",
)
SAME = Inputs(
    Argument("embeddings", EMBEDDINGS, "N D"),
    Argument(
        "target",
        Kind(
            "class labels",
            lambda generator, shape, _: torch.randint(3, shape, generator=generator),
            "integer",
            rest=(0, 1, 2),
        ),
        "N",
    ),
    rows="N",
    coupled=True,
)


@invent(inputs=VIEWS, parameters=(TEMPERATURE,))
def two_views(z1, z2, *, temperature: float = 0.5):
    """Two views: each finds its own among all."""
    scores = F.normalize(z1, dim=-1) @ F.normalize(z2, dim=-1).T / temperature
    return F.cross_entropy(scores, torch.arange(len(z1)), reduction="none")


@invent(inputs=VIEWS)
def distance(z1, z2):
    """Distance: views meet, others stay apart."""
    return ((z1 - z2) ** 2).sum(-1) - 0.5 * ((z1 - z2.roll(1, 0)) ** 2).sum(-1)


@invent(inputs=HEAD, parameters=(MARGIN,))
def angular(embeddings, class_weights, target, *, margin: float = 0.3):
    """Angular: cosines with a margin."""
    cosines = F.normalize(embeddings, dim=-1) @ F.normalize(class_weights, dim=-1).T
    own = F.one_hot(target, len(class_weights))
    return F.cross_entropy(8 * (cosines - margin * own), target, reduction="none")


@invent(inputs=HEAD)
def centred(embeddings, class_weights, target):
    """Centred: squared distance to the own centre."""
    return ((embeddings - class_weights[target]) ** 2).sum(-1)


@invent(inputs=SAME, parameters=(MARGIN,))
def apart(embeddings, target, *, margin: float = 0.5):
    """Apart: same labels near, others beyond a margin."""
    squares = ((embeddings.unsqueeze(0) - embeddings.unsqueeze(1)) ** 2).sum(-1)
    same = target.unsqueeze(0) == target.unsqueeze(1)
    return torch.where(same, squares, (2 * margin - squares).relu()).mean(-1)


# Masks.

MASKS = Inputs(
    Argument("probabilities", PROBABILITIES, "... H W"), Argument("target", MASK, "... H W")
)
IMAGES = Inputs(
    Argument("logits", LOGITS, "B C H W"), Argument("target", labels("C"), "B H W"), rows="B"
)
PLAIN = Inputs(Argument("output", LOGITS, "... H W"), Argument("target", MASK, "... H W"))


@invent(inputs=MASKS, parameters=(SMOOTH,))
def dice_like(probabilities, target, *, smooth: float = 1.0):
    """Dice-like: the share that does not overlap."""
    truth = target.to(probabilities)
    both, all_ = (probabilities * truth).sum((-2, -1)), (probabilities + truth).sum((-2, -1))
    return 1 - (2 * both + smooth) / (all_ + smooth)


@invent(inputs=IMAGES)
def pixels(logits, target):
    """Pixels: cross-entropy of every pixel."""
    return F.cross_entropy(logits, target, reduction="none").mean((-2, -1))


@invent(inputs=PLAIN)
def pixels_of_one(output, target):
    """Pixels of one: binary cross-entropy of every pixel."""
    truth = target.to(output)
    return F.binary_cross_entropy_with_logits(output, truth, reduction="none").mean((-2, -1))
