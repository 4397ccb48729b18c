"""Losses by which a student copies a teacher: all classes together, or each for itself."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Parameter,
    Source,
    convex,
    declare,
    exact_by_rows,
    number,
    softplus,
    unbounded,
)
from ...declaration.kinds import LOGITS, TEACHER, labels
from ...declaration.margin import log_probabilities

TWO_MODELS = Inputs(
    Argument("student", LOGITS, "... K"),
    Argument("teacher", TEACHER, "... K", "Gets no gradient"),
)
TWO_HEADS = Inputs(
    Argument("logits", LOGITS, "... K", "Of the head that is kept"),
    Argument("copying", LOGITS, "... K", "Of the second head, on the same features"),
    Argument("teacher", TEACHER, "... K", "Gets no gradient"),
    Argument("target", labels("K", ignorable=True), "..."),
)
YANG = "yang2024dhkd"


def _temperature(at_low: str, at_high: str, low: str, high: str) -> Parameter:
    return number(
        "temperature", "T", "(0, inf)", (0.25, 8.0, 0.25),
        "what the logits of both are divided by",
        at_low, at_high, label="temperature of both", ends=(low, high),
    )  # fmt: skip


def _present(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both with 0 for the classes that both rule out (-inf): such a class costs nothing."""
    absent = student.isneginf() & teacher.isneginf()
    return student.masked_fill(absent, 0.0), teacher.masked_fill(absent, 0.0)


def _limit(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    apart = student - teacher
    apart = apart - apart.mean(-1, keepdim=True)
    return tempered_kl(student, teacher, temperature=1e4, reduction="none"), (
        apart.square().mean(-1) / 2
    )


@declare(
    family="distillation",
    inputs=TWO_MODELS,
    latex=r"\ell(s, t) = T^2 \sum_k q_k \log \frac{q_k}{p_k}, \qquad "
    r"p = \mathrm{softmax}(s / T), \quad q = \mathrm{softmax}(t / T)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s} = T\, (p - q)",
        lambda s, t, *, temperature: (
            temperature * ((s / temperature).softmax(-1) - (t / temperature).softmax(-1))
        ),
    ),
    parameters=(
        _temperature(
            "the first choices alone count",
            "half the squared error of centred logits, over K",
            "first choices",
            "all logits alike",
        ),
    ),
    source=Source("hinton2015distilling", "section 2", "the factor T^2 is recommended in the text"),
    facts=(
        Fact(
            "torch's kl_div of the two log-softmaxes, at temperature 1",
            lambda s, t: (
                tempered_kl(s, t, temperature=1.0, reduction="none"),
                F.kl_div(
                    s.log_softmax(-1), t.log_softmax(-1), log_target=True, reduction="none"
                ).sum(-1),
            ),
        ),
        Fact(
            "T to inf: the squared differences of the centred logits, over 2 K (at 1e4)",
            _limit,
            rtol=1e-3,
        ),
        Fact(
            "0 for the teacher's own logits (both sides plus 1)",
            lambda s, t: (1 + tempered_kl(t, t, reduction="none"), torch.ones(len(t)).double()),
        ),
        convex(why="a log-sum-exp minus a linear function"),
        unbounded(how="linearly in the lead of a class that the teacher rules out"),
    ),
    stability="Log-probabilities of both keep the digits of a class that is nearly certain. What "
    "the teacher rules out costs nothing.",
    notes="The factor T^2 keeps the gradient of one size as T changes; it is often forgotten.",
    related=("cross_entropy", "binary_kl_norm", "pld", "symmetric_ce"),
    also=("KD", "KL distillation", "soft targets"),
    in_torch="16 * F.kl_div((student / 4).log_softmax(-1), (teacher / 4).softmax(-1), "
    'reduction="batchmean")',
    use="A teacher's probabilities are to be copied, those of unlikely classes too.",
    avoid="The teacher is wrong in ways that matter: add cross-entropy with the labels.",
)
def tempered_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 4.0
) -> torch.Tensor:
    """Distillation: the divergence of the softened student from the softened teacher, times T^2."""
    return _tempered(student, teacher.detach(), temperature=temperature)


@exact_by_rows
def _tempered(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    log_p, log_q = (log_probabilities(z / temperature) for z in (student, teacher))
    q = log_q.exp()
    return temperature**2 * (q * torch.where(q == 0, 0.0, log_q - log_p)).sum(-1)


@declare(
    family="distillation",
    inputs=TWO_MODELS,
    latex=r"\ell(s, t) = T^2 \sum_k \mathrm{KL}\big( \sigma(t_k / T) \,\Vert\, \sigma(s_k / T) "
    r"\big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s} = T\, \big( \sigma(s / T) - \sigma(t / T) \big)",
        lambda s, t, *, temperature: (
            temperature * ((s / temperature).sigmoid() - (t / temperature).sigmoid())
        ),
    ),
    parameters=(
        _temperature(
            "the signs of the logits alone count",
            "an eighth of the squared error",
            "signs alone",
            "squared error",
        ),
    ),
    source=Source(YANG, "the loss BinaryKL"),
    facts=(
        Fact(
            "Binary cross-entropy with the teacher's probabilities, less their entropy",
            lambda s, t: (
                binary_kl(s, t, temperature=1.0, reduction="none"),
                (
                    F.binary_cross_entropy_with_logits(s, t.sigmoid(), reduction="none")
                    - F.binary_cross_entropy_with_logits(t, t.sigmoid(), reduction="none")
                ).sum(-1),
            ),
        ),
        Fact(
            "T to inf: an eighth of the squared differences of the logits (at 1e4)",
            lambda s, t: (
                binary_kl(s, t, temperature=1e4, reduction="none"),
                (s - t).square().sum(-1) / 8,
            ),
            rtol=1e-3,
        ),
        convex(why="a sum of softplus minus linear functions"),
        unbounded(how="linearly in a logit far from the teacher's"),
    ),
    breaks=("shift of K",),
    stability="Each term is a mean of two differences of softplus, which keeps the digits of a "
    "sure teacher. A class that both rule out (-inf) costs nothing.",
    notes="A constant added to all logits of one model changes it: that is the information which a "
    "softmax loses.",
    related=("binary_kl_norm", "tempered_kl"),
    also=("BinaryKL", "DHKD", "logit distillation", "one-vs-all distillation"),
    use="The sizes of the teacher's logits are to be copied, not only their differences.",
    avoid="It is added to cross-entropy on one linear head, where the two may pull apart: compare "
    "with a head of its own on held-out rows.",
)
def binary_kl(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 2.0
) -> torch.Tensor:
    """Binary KL: each class is a coin whose softened chance is copied from the teacher."""
    return _binary(student, teacher.detach(), temperature=temperature)


@exact_by_rows
def _binary(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float) -> torch.Tensor:
    student, teacher = _present(student, teacher)
    s, t = student / temperature, teacher / temperature
    heads = t.sigmoid() * (softplus(-s) - softplus(-t))
    tails = (-t).sigmoid() * (softplus(s) - softplus(t))
    return temperature**2 * (heads + tails).sum(-1)


def _log_cosh(x: torch.Tensor) -> torch.Tensor:
    near = x.abs() < 1
    close, far = torch.where(near, x, 0.0), torch.where(near, 1.0, x).abs()
    return torch.where(
        near,
        (2 * (close / 2).sinh().square()).log1p(),
        far + (-2 * far).exp().log1p() - math.log(2),
    )


@declare(
    family="distillation",
    inputs=TWO_MODELS,
    latex=r"\ell(s, t) = T^2 \sum_k \log \cosh \frac{s_k - t_k}{2 T} = T^2 \sum_k \mathrm{KL}"
    r"\big( \tfrac12 \,\Vert\, \sigma(\tfrac{s_k - t_k}{T}) \big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s} = \frac{T}{2} \tanh \frac{s - t}{2 T}",
        lambda s, t, *, temperature: temperature / 2 * ((s - t) / (2 * temperature)).tanh(),
    ),
    parameters=(
        _temperature(
            "T/2 times the absolute error",
            "an eighth of the squared error",
            "absolute error",
            "squared error",
        ),
    ),
    source=Source(
        YANG,
        "the loss BinaryKL-Norm",
        "the authors clamp the sigmoid at 1e-8, which stops the gradient of gaps beyond 18 T",
    ),
    facts=(
        Fact(
            "The binary KL of a half from the sigmoid of the gap",
            lambda s, t: (
                binary_kl_norm(s, t, temperature=2.0, reduction="none"),
                binary_kl(s - t, torch.zeros_like(t), temperature=2.0, reduction="none"),
            ),
        ),
        Fact(
            "T to inf: an eighth of the squared differences of the logits (at 1e4)",
            lambda s, t: (
                binary_kl_norm(s, t, temperature=1e4, reduction="none"),
                (s - t).square().sum(-1) / 8,
            ),
            rtol=1e-6,
        ),
        Fact(
            "A small T: T/2 times the absolute differences (at 1e-6)",
            lambda s, t: (
                binary_kl_norm(s, t, temperature=1e-6, reduction="none") / 1e-6,
                (s - t).abs().sum(-1) / 2,
            ),
            rtol=1e-3,
        ),
        Fact(
            "Only the gap counts: the same shift of both changes nothing",
            lambda s, t: (binary_kl_norm(s + 3, t + 3), binary_kl_norm(s, t)),
        ),
        convex(why="log cosh is convex"),
        unbounded(how="linearly in the gap"),
    ),
    breaks=("shift of K",),
    stability="log cosh from sinh near 0 and from its distance to the absolute value elsewhere: "
    "the gradient never vanishes at a large gap. A class that both rule out (-inf) costs nothing.",
    notes="A smooth absolute error of logits. On a head shared with cross-entropy the two pull "
    "apart once features have collapsed; `lossviz.analysis.gradient_conflict` measures it.",
    related=("binary_kl", "tempered_kl", "pld"),
    also=("BinaryKL-Norm", "DHKD", "dual-head distillation", "log-cosh", "logit distillation"),
    use="The logits of a teacher are to be copied by an auxiliary head of the student.",
    avoid="Its head also gets cross-entropy, and held-out accuracy falls: the two may oppose each "
    "other there.",
)
def binary_kl_norm(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 2.0
) -> torch.Tensor:
    """Normalised binary KL: the log cosh of each gap between the logits of student and teacher.

    Dual-head distillation adds it, on a second head, to cross-entropy on the first; of the student
    that is used only the first head is left.
    """
    return _gaps(student, teacher.detach(), temperature=temperature)


def _squashed_gaps(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    student, teacher = _present(student, teacher)
    return temperature**2 * _log_cosh((student - teacher) / (2 * temperature)).sum(-1)


_gaps = exact_by_rows(_squashed_gaps)


def _slope(
    logits: torch.Tensor,
    copying: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float,
    gamma: float,
    temperature: float,
) -> torch.Tensor:
    return gamma * (logits.softmax(-1) - F.one_hot(target, logits.shape[-1]))


@declare(
    family="distillation",
    inputs=TWO_HEADS,
    latex=r"\ell(z, s, t, y) = -\gamma \log p_y + \alpha\, T^2 \sum_k \log \cosh "
    r"\frac{s_k - t_k}{2 T}, \qquad p = \mathrm{softmax}(z)",
    gradient=Gradient(r"\frac{\partial \ell}{\partial z} = \gamma\, (p - e_y)", _slope),
    parameters=(
        number(
            "alpha",
            r"\alpha",
            "[0, inf)",
            (0.0, 2.0, 0.1),
            "weight of the copying head",
            "labels alone",
            "features are learnt from the teacher alone",
            label="weight of the copying head",
            ends=("labels alone", "teacher alone"),
        ),
        number(
            "gamma",
            r"\gamma",
            "[0, inf)",
            (0.0, 2.0, 0.1),
            "weight of cross-entropy",
            "the head that is kept learns nothing",
            "labels alone",
            label="weight of cross-entropy",
            ends=("teacher alone", "labels alone"),
        ),
        _temperature(
            "T/2 times the absolute error",
            "an eighth of the squared error",
            "absolute error",
            "squared error",
        ),
    ),
    source=Source(YANG, "the total loss", "weights as in its recipe for CIFAR-100"),
    facts=(
        Fact(
            "The weighted sum of cross-entropy and of normalised binary KL",
            lambda z, s, t, y: (
                dual_head(z, s, t, y, alpha=0.1, gamma=2.0, reduction="none"),
                2 * F.cross_entropy(z, y, reduction="none")
                + 0.1 * binary_kl_norm(s, t, reduction="none"),
            ),
        ),
        Fact(
            "A second head that gives the teacher's logits: cross-entropy",
            lambda z, s, t, y: (
                dual_head(z, t, t, y, reduction="none"),
                F.cross_entropy(z, y, reduction="none"),
            ),
        ),
        convex(why="a sum of convex functions, each of one head"),
        unbounded(how="linearly in a wrong lead and in a gap to the teacher"),
    ),
    breaks=("shift of K",),
    stability="As its parts. A row whose label is ignored is left out of both.",
    notes="No gradient of one part reaches the head of the other: they meet in the features alone. "
    "For ImageNet the authors take alpha = 0.1.",
    related=("binary_kl_norm", "cross_entropy", "tempered_kl"),
    also=("DHKD", "dual-head distillation", "auxiliary head"),
    use="A teacher's logits are to shape the features, and its loss opposes cross-entropy on one "
    "head to the harm of held-out accuracy.",
    avoid="Labels are few: the head that is kept learns from them alone.",
)
def dual_head(
    logits: torch.Tensor,
    copying: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 2.0,
) -> torch.Tensor:
    """Dual-head distillation: cross-entropy on one head, a copy of the teacher's logits on another.

    Of the student that is used only the first head is left.
    """
    return _heads(
        logits, copying, teacher.detach(), target, alpha=alpha, gamma=gamma, temperature=temperature
    )


@exact_by_rows
def _heads(
    logits: torch.Tensor,
    copying: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    alpha: float,
    gamma: float,
    temperature: float,
) -> torch.Tensor:
    nll = -log_probabilities(logits).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return gamma * nll + alpha * _squashed_gaps(copying, teacher, temperature=temperature)
