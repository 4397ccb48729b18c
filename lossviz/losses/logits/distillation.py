"""Losses of a student's logits beside those of a teacher."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Source,
    by_rows,
    convex,
    declare,
    log_add,
    number,
    row_dtype,
    softplus,
    unbounded,
)
from ...declaration.kinds import LOGITS, TEACHER, labels

STUDENT_AND_TEACHER = Inputs(
    Argument("student", LOGITS, "... K"),
    Argument("teacher", TEACHER, "... K", "Gets no gradient"),
    Argument("target", labels("K", ignorable=True), "..."),
)
TEMPERATURE = number(
    "temperature", "T", "(0, inf)", (0.25, 8.0, 0.25),
    "what the logits of the teacher are divided by before its softmax",
    "only the rank of the teacher's first choice counts",
    "all ranks count alike: list-wise maximum likelihood, divided by K",
    label="temperature of the teacher", ends=("first choice alone", "all ranks alike"),
)  # fmt: skip


def _ranking(teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The target, then the other classes from the teacher's most likely to its least."""
    label_first = teacher.scatter(-1, target.unsqueeze(-1), torch.inf)
    return label_first.argsort(dim=-1, descending=True, stable=True)


def _log_sums(ranked: torch.Tensor) -> torch.Tensor:
    """Log-sum-exp of each entry and all after it, in log2(K) doublings.

    Derivatives of every order are finite; those of torch's logcumsumexp end at the first where a
    weight is 0.
    """
    sums, step = ranked, 1
    while step < ranked.shape[-1]:
        near, far = sums[..., :-step], sums[..., step:]
        sums = torch.cat([log_add(near, far), sums[..., -step:]], -1)
        step *= 2
    return sums


def _gradient(
    student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    rank = _ranking(teacher, target).argsort(-1)
    later = rank.unsqueeze(-2) >= rank.unsqueeze(-1)  # (..., class that is chosen, class left)
    choices = student.unsqueeze(-2).masked_fill(~later, -torch.inf).softmax(-1)
    weights = (teacher / temperature).softmax(-1).unsqueeze(-1)
    return (weights * (choices - torch.eye(student.shape[-1]))).sum(-2)


def _list_mle(
    student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    left = student.gather(-1, _ranking(teacher, target))
    terms = [left[..., k:].logsumexp(-1) - left[..., k] for k in range(left.shape[-1])]
    even = pld(student, teacher, target, temperature=1e12, reduction="none")
    return even, torch.stack(terms, -1).mean(-1)


@declare(
    family="distillation",
    inputs=STUDENT_AND_TEACHER,
    latex=r"\ell(s, t, y) = \sum_{k=1}^{K} q_{\pi_k} \Big( \log \sum_{l \ge k} e^{s_{\pi_l}} - "
    r"s_{\pi_k} \Big), \qquad q = \mathrm{softmax}(t / T), \quad \pi_1 = y, \quad "
    r"t_{\pi_2} \ge t_{\pi_3} \ge \dots",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s} = \sum_k q_{\pi_k} \big( p^{(k)} - e_{\pi_k} \big), "
        r"\qquad p^{(k)} = \mathrm{softmax\ over\ } \pi_k, \dots, \pi_K",
        _gradient,
    ),
    parameters=(TEMPERATURE,),
    source=Source("bassam2025pld", "the Plackett-Luce distillation loss"),
    facts=(
        Fact(
            "A teacher that is sure of the label: cross-entropy",
            lambda s, t, y: (
                pld(s, 1e4 * F.one_hot(y, s.shape[-1]).double(), y, reduction="none"),
                F.cross_entropy(s, y, reduction="none"),
            ),
        ),
        Fact(
            "Two classes: cross-entropy weighted by the teacher's probability of the label",
            lambda s, t, y: (
                pld(s[:, :2], t[:, :2], y % 2, reduction="none"),
                t[:, :2].softmax(-1).gather(-1, y[:, None] % 2)[:, 0]
                * F.cross_entropy(s[:, :2], y % 2, reduction="none"),
            ),
        ),
        Fact("A hot teacher weighs all ranks alike: ListMLE divided by K (at 1e12)", _list_mle),
        convex(why="a sum of log-sum-exps minus linear functions"),
        unbounded(how="linearly in the lead of a class over one ranked before it"),
    ),
    stability="Each rank is softplus of the log-sum-exp of the later ranks minus its own logit, "
    "exact in both tails; the last rank, of a single choice, is left out.",
    notes="Stands alone: no cross-entropy is added, and no weight between two terms is to be "
    "tuned. Equal logits of the teacher rank by class number.",
    related=("cross_entropy",),
    also=("knowledge distillation", "teacher and student", "ListMLE", "Plackett-Luce"),
    use="There is a teacher, labels are known, and a single loss without a weight "
    "between two terms is wanted.",
    avoid="There are no labels, or the teacher's probabilities themselves are to be copied.",
)
def pld(
    student: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    *,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Plackett-Luce distillation: the student ranks label first, then as the teacher does.

    At each rank the class has to be chosen among those not yet ranked, which costs what the teacher
    thinks of that class.
    """
    return _by_ranks(student, teacher.detach(), target, temperature=temperature)


def _ranks_at_once(teacher: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`_ranking` of float32 rows on the CPU, where numpy sorts integers ten times as fast.

    A key holds the logit, falling, and below it the class, so that no two are equal.
    """
    bits = (-teacher).view(torch.int32)
    falling = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # integers in the same order
    keys = (falling << 32) + torch.arange(teacher.shape[-1])
    keys.scatter_(-1, target.unsqueeze(-1), -(2**62) * 2 + target.unsqueeze(-1))
    return torch.from_numpy(np.sort(keys.numpy(), -1)) & 0xFFFFFFFF


def _slopes(
    student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor, *, temperature: float
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """With sums of exponentials from the last rank up; None where these may vanish."""
    exact = row_dtype(student)
    scores = student.to(exact)
    scores = scores - scores.amax(-1, keepdim=True)
    if not bool((scores.amin(-1) > -600).all() & teacher.isfinite().all()):
        return None
    plain = teacher.device.type == "cpu" and teacher.dtype != torch.float64
    rank = _ranks_at_once if plain else _ranking
    ranking = rank(teacher.float() + 0.0 if plain else teacher, target)
    weights = (teacher.to(exact) / temperature).softmax(-1).gather(-1, ranking)
    odds = scores.exp_().gather(-1, ranking)
    sums = odds.flip(-1).cumsum(-1).flip(-1)  # over a rank and all later ones
    later = F.pad(sums[..., 1:], (0, 1))
    rows = (weights * (later / odds).log1p_()).sum(-1)
    chosen = weights / sums
    before = F.pad(chosen[..., :-1].cumsum(-1), (1, 0))
    slope = before.mul_(odds).sub_(chosen.mul_(later))
    return rows, torch.empty_like(slope).scatter_(-1, ranking, slope)


@partial(by_rows, slopes=_slopes)
def _by_ranks(
    student: torch.Tensor, teacher: torch.Tensor, target: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    student, teacher = (x.to(row_dtype(x)) for x in (student, teacher))
    ranking = _ranking(teacher, target)
    weights = (teacher / temperature).softmax(-1).gather(-1, ranking)[..., :-1]
    ranked = student.gather(-1, ranking)
    lead = _log_sums(ranked)[..., 1:] - ranked[..., :-1]
    return (weights * softplus(lead)).sum(-1)
