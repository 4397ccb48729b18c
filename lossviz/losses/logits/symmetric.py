"""Cross-entropy in both directions: with labels, and between two models."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Row,
    Source,
    box_cox,
    by_rows,
    declare,
    not_proper,
    number,
    row_dtype,
    sum_over_labels,
    unbounded,
)
from ...declaration.kinds import LOGITS
from ...declaration.margin import Top, from_the_top, largest
from ...declaration.numbers import possible, widen
from .compsum import mae
from .crossentropy import cross_entropy
from .relatives import poly_1

WANG = Source(
    "wang2019symmetric",
    "definition of symmetric cross-entropy",
    "widely used code clamps the one-hot label at 1e-4, which makes A = log(1e-4) = -9.21; "
    "here A is the parameter `log_zero`",
)
ALPHA = number(
    "alpha", r"\alpha", "[0, inf)", (0.0, 2.0, 0.05),
    "weight of cross-entropy",
    "reverse cross-entropy alone, a multiple of the mean absolute error",
    "cross-entropy dominates",
    ends=("none", "most"),
)  # fmt: skip
BETA = number(
    "beta", r"\beta", "[0, inf)", (0.0, 2.0, 0.05),
    "weight of reverse cross-entropy",
    "a multiple of cross-entropy",
    "reverse cross-entropy dominates",
    ends=("none", "most"),
)  # fmt: skip
LOG_ZERO = number(
    "log_zero", "A", "(-inf, 0)", (-8.0, -0.5, 0.5),
    "the finite number that stands for log 0 in the reverse term, in nats",
    "a heavier reverse term",
    "no reverse term",
    label="number that stands for log 0 (nats)", ends=("heavy reverse term", "light"),
)  # fmt: skip


def _reverse_by_hand(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_target = torch.where(F.one_hot(y, z.shape[-1]) == 1, 0.0, -4.0).double()
    reverse = -(z.softmax(-1) * log_target).sum(-1)
    return symmetric_cross_entropy(z, y, alpha=0.0, reduction="none"), reverse


@declare(
    family="relatives",
    latex=r"\ell(z, y) = -\alpha \log p_y - \beta A\, (1 - p_y)",
    form="-alpha*log(p) - beta*log_zero*(1 - p)",
    parameters=(ALPHA, BETA, LOG_ZERO),
    source=WANG,
    facts=(
        Fact(
            "The reverse term is -A times the mean absolute error",
            lambda z, y: (symmetric_cross_entropy(z, y, alpha=0.0, log_zero=-3.0), 3 * mae(z, y)),
        ),
        Fact("The reverse term written out over the classes", _reverse_by_hand),
        Fact(
            "alpha times poly-1 with epsilon = -beta A / alpha, for alpha > 0",
            lambda z, y: (
                symmetric_cross_entropy(z, y, alpha=0.5, beta=2.0, log_zero=-3.0),
                0.5 * poly_1(z, y, epsilon=12.0),
            ),
        ),
        sum_over_labels(
            "-beta*log_zero*(K - 1)", alpha=0.0, source=Source("wang2019symmetric")
        ),
        unbounded("alpha in (0, inf)", how="like alpha times cross-entropy"),
        not_proper(when="beta in (0, inf)"),
    ),
    stability="Both terms come from the margin.",
    related=("poly_1", "mae", "symmetric_ce"),
    also=("SCE", "SL", "reverse cross-entropy"),
    use="Some labels are wrong, and both fast learning and tolerance are wanted: its "
    "reverse term is symmetric.",
    avoid="Labels are clean, or probabilities are wanted as they come. Its three numbers "
    "overlap: it is a scaled poly-1 loss.",
)  # fmt: skip
def symmetric_cross_entropy(
    row: Row, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = -4.0
) -> torch.Tensor:
    r"""Symmetric cross-entropy: cross-entropy plus its reverse, with log 0 set to a finite number.

    The reverse term is :math:`-\sum_k p_k \log t_k` for the one-hot label t, with log 0 = A: the
    paper's A, a choice and not a limit. For two sets of logits see `symmetric_ce`.
    """
    nll = row.nll
    reverse = -beta * log_zero * box_cox(nll, 1.0)
    # a weight of 0 must not meet an infinite term
    return reverse + alpha * nll if alpha > 0 else reverse


TWO_MODELS = Inputs(
    Argument("student", LOGITS, "... K"),
    Argument("teacher", LOGITS, "... K", "Gradients flow to both: detach it if it is not trained"),
    exchange=(("student", "teacher"),),
)
MIX = number(
    "alpha", r"\alpha", "[0, 1]", (0.0, 1.0, 0.05),
    "weight of the reverse term, in which the student is the distribution",
    "cross-entropy of the student under the teacher",
    "cross-entropy of the teacher under the student",
    label="weight of the reverse term", ends=("forward alone", "reverse alone"),
)  # fmt: skip


def _gradient(student: torch.Tensor, teacher: torch.Tensor, *, alpha: float) -> torch.Tensor:
    p, q, log_q = student.softmax(-1), teacher.softmax(-1), teacher.log_softmax(-1)
    reverse = p * (log_q - (p * log_q).sum(-1, keepdim=True))
    return (1 - alpha) * (p - q) - alpha * reverse


@declare(
    family="relatives",
    latex=r"\ell = -(1 - \alpha) \sum_k q_k \log p_k - \alpha \sum_k p_k \log q_k",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial z_j} = (1 - \alpha)(p_j - q_j) "
        r"- \alpha\, p_j \Big(\log q_j - \sum_k p_k \log q_k\Big)",
        _gradient,
    ),
    inputs=TWO_MODELS,
    parameters=(MIX,),
    source=Source("dobler2023robust", "the consistency loss"),
    facts=(
        Fact(
            "alpha = 0 is cross-entropy against the teacher's probabilities",
            lambda z, t: (symmetric_ce(z, t, alpha=0.0), cross_entropy(z, t.softmax(-1))),
        ),
        Fact(
            "Exchanging the two sides turns alpha into 1 - alpha",
            lambda z, t: (symmetric_ce(z, t, alpha=0.3), symmetric_ce(t, z, alpha=0.7)),
        ),
        unbounded(how="finite for finite logits"),
    ),
    stability="Log-softmax on both sides; a class that both exclude counts as 0.",
    related=("symmetric_cross_entropy", "cross_entropy"),
    breaks=(
        "exchange of student and teacher for alpha in [0, 0.5)",
        "exchange of student and teacher for alpha in (0.5, 1]",
    ),
    also=("self-distillation", "test-time adaptation", "consistency loss", "mean teacher"),
    in_torch="(0.5 * (-teacher.softmax(-1) * student.log_softmax(-1) - student.softmax(-1) "
    "* teacher.log_softmax(-1))).sum(-1).mean()",
    use="Two models, or two views of one, are to agree, and neither is the truth.",
    avoid="One side is a fixed teacher that is to be copied: cross-entropy against its "
    "probabilities is enough.",
)
def symmetric_ce(
    student: torch.Tensor, teacher: torch.Tensor, *, alpha: float = 0.5
) -> torch.Tensor:
    """Symmetric cross-entropy of two models: cross-entropy of student and teacher both ways.

    Teacher q and student p are softmaxes, taken here. For 0 < alpha < 1 a class that one side
    excludes (logit -inf) costs inf unless the other side excludes it too.
    """
    return _both_ways(student, teacher, alpha=alpha)


def _slopes_both_ways(
    student: torch.Tensor, teacher: torch.Tensor, *, alpha: float
) -> tuple[torch.Tensor, ...] | None:
    excluded = student.amin(-1).isneginf() | teacher.amin(-1).isneginf()
    if alpha in (0, 1) or possible(excluded):  # where 0 * inf has to be kept out
        return None
    p, q = _Softmax(widen(student)), _Softmax(widen(teacher))
    of_teacher, of_student = q.surprisal(p), p.surprisal(q)
    rows = (1 - alpha) * of_student + alpha * of_teacher
    slopes = p.slope(q, alpha), q.slope(p, 1 - alpha)
    return rows, *slopes


class _Softmax:
    """One of the two distributions; its gaps are used up by the gradient of the other."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.leader = largest(logits)
        self.gaps = logits - logits.gather(-1, self.leader)
        odds = self.gaps.exp().scatter_(-1, self.leader, 0.0)
        self.rest = odds.sum(-1, keepdim=True).to(row_dtype(logits))
        self.lead = 1 / (1 + self.rest)
        self.others = odds.mul_(self.lead.to(odds))  # 0 at the leader

    def surprisal(self, weights: _Softmax) -> torch.Tensor:
        """Cross-entropy (R,) of this softmax under the other."""
        mean = (weights.others * self.gaps).sum(-1, keepdim=True).to(self.rest)
        self.mean = mean + weights.lead * self.gaps.gather(-1, weights.leader)
        return (self.rest.log1p() - self.mean).squeeze(-1)

    def slope(self, other: _Softmax, share: float) -> torch.Tensor:
        """The gradient of both terms in these logits; `share` is the weight of the reverse one."""
        near = other.mean.to(other.gaps)
        flat = (1 - share) + share * (other.mean - near)
        # in two steps: what the mean loses by rounding is added where it is small
        slope = other.gaps.sub_(near).mul_(-share).add_(flat.to(near)).mul_(self.others)
        slope.sub_(other.others, alpha=1 - share)
        at_lead = slope.gather(-1, other.leader) - ((1 - share) * other.lead).to(slope)
        slope.scatter_(-1, other.leader, at_lead).scatter_(-1, self.leader, 0.0)
        # p - q of the leader cancels: the whole sums to 0
        return slope.scatter_(-1, self.leader, -slope.sum(-1, keepdim=True))


@partial(by_rows, slopes=_slopes_both_ways)
def _both_ways(student: torch.Tensor, teacher: torch.Tensor, *, alpha: float) -> torch.Tensor:
    p, q = (from_the_top(logits.to(row_dtype(logits))) for logits in (student, teacher))
    if alpha == 0:  # a term of weight 0 may be infinite, and must not count as 0 * inf
        return _surprisal(q, p)
    if alpha == 1:
        return _surprisal(p, q)
    return (1 - alpha) * _surprisal(q, p) + alpha * _surprisal(p, q)


def _surprisal(weights: Top, of: Top) -> torch.Tensor:
    """Cross-entropy of one softmax under another."""
    leading = of.gaps.gather(-1, weights.leader).squeeze(-1).to(of.rest.dtype)
    return of.rest.log1p() - (leading + of.mean_gap(weights.odds)) / (1 + weights.rest)
