"""Losses of pairs: right candidates against wrong ones, and profits against smaller ones."""

from __future__ import annotations

import math

import torch

from ...declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Loss,
    RowLosses,
    Source,
    declare,
    number,
    row_dtype,
    softplus,
    unbounded,
)
from ...declaration.kinds import SCORES, VALUES, labels
from ...declaration.numbers import check_count

ONE_OF_MANY = Inputs(
    Argument("scores", SCORES, "B M", "Of M candidates for each query"),
    Argument("target", labels("M", noun="labels of the right candidate"), "B"),
    rows="B",
    coupled=True,
)
TEMPERATURE = number(
    "temperature", r"\tau", "(0, inf)", (0.01, 2.0, 0.01),
    "unit of a lead", "only the number of pairs in the wrong order counts, times their distance",
    "the mean distance of right and wrong candidates", ends=("order of pairs", "mean distance"),
)  # fmt: skip


def _split(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    right = torch.nn.functional.one_hot(target, scores.shape[-1]).bool()
    return scores.gather(-1, target[:, None]), right


def _gradient(scores: torch.Tensor, target: torch.Tensor, *, temperature: float) -> torch.Tensor:
    own, right = _split(scores, target)
    pull = ((scores.flatten() - own) / temperature).sigmoid().reshape(len(own), *scores.shape)
    pull = pull.masked_fill(right, 0.0) / (temperature * (~right).sum().clamp_min(1))
    return torch.where(right, -pull.sum((1, 2))[:, None], pull.sum(0))


def _above_the_curve(loss: Loss) -> None:
    for seed in range(30):
        scores, target = loss.inputs.example(B=5, M=6, seed=seed)
        own, right = _split(scores, target)
        others = scores[~right]
        wrong = (own < others).double() + (own == others).double() / 2
        assert wrong.mean() <= loss(scores, target, temperature=1.0) / math.log(2)


@declare(
    family="ranking",
    inputs=ONE_OF_MANY,
    latex=r"\ell_i(s, y) = \frac{1}{|S^-|} \sum_{s^- \in S^-} "
    r"\log\big(1 + e^{-(s_{i y_i} - s^-) / \tau}\big), \qquad "
    r"S^- = \{ s_{jk} : k \ne y_j \}",
    gradient=Gradient(
        r"\frac{\partial \sum_i \ell_i}{\partial s_{jk}} = \frac{1}{\tau |S^-|} \sum_i "
        r"\mathrm{sigmoid}\Big( \frac{s_{jk} - s_{i y_i}}{\tau} \Big) \text{ for } k \ne y_j, "
        r"\qquad -\frac{1}{\tau |S^-|} \sum_{s^- \in S^-} \mathrm{sigmoid}\Big( "
        r"\frac{s^- - s_{j y_j}}{\tau} \Big) \text{ for } k = y_j",
        _gradient,
    ),
    parameters=(TEMPERATURE,),
    source=Source(
        "sheikholeslami2025auc",
        "the lemma on the area over the curve",
        "the paper sums over the wrong candidates where its lemma takes the mean",
    ),
    facts=(
        Fact(
            "All scores equal: log 2",
            lambda s, y: (mw_loss(0 * s + 3, y, reduction="none"), s.new_full((len(s),), 2).log()),
        ),
        Fact(
            "The same number added to all scores of all queries changes nothing; added to those "
            "of one query it does",
            lambda s, y: (mw_loss(s + 7, y), mw_loss(s, y)),
        ),
        Fact(
            "At temperature 1 over log 2 it is at least the area over the ROC curve: the share of "
            "pairs in the wrong order.",
            holds=_above_the_curve,
        ),
        unbounded(how="linearly in the lead of a wrong candidate"),
    ),
    notes="Wrong candidates of all queries are compared with each right one, so scores of "
    "different queries get one scale; a softmax per query does not ask for that. Memory: B times "
    "B M numbers.",
    related=("decoupled_softmax", "nt_xent"),
    breaks=("shift of M", "absent entry of M"),
    view={"starts": {"temperature": 1.0}},
    also=("Mann-Whitney", "AUC", "area under the ROC curve", "pairwise logistic", "retrieval"),
    use="One threshold has to serve all queries, or the area under the ROC curve is reported.",
    avoid="Only the order within a query counts: a softmax over its candidates is sharper.",
)
def mw_loss(
    scores: torch.Tensor, target: torch.Tensor, *, temperature: float = 0.01
) -> torch.Tensor:
    """Mann-Whitney loss: each right candidate against the wrong ones of all queries.

    Where there is no wrong candidate the loss is 0.
    """
    exact = scores.to(row_dtype(scores))
    own, right = _split(exact, target)
    leads = (exact.flatten() - own) / temperature
    terms = softplus(leads).masked_fill(right.flatten(), 0.0)
    return terms.sum(-1) / (~right).sum().clamp_min(1)


PROFITS = Inputs(
    Argument("scores", SCORES, "... M", "Of the items of a list"),
    Argument("profit", VALUES, "... M", "Profit or loss of each item"),
)


def _best(profit: torch.Tensor, top_k: int) -> torch.Tensor:
    """Places (..., k) of the largest profits, the first of equal ones first."""
    return profit.argsort(dim=-1, descending=True, stable=True)[..., :top_k]


def _weights(profit: torch.Tensor) -> torch.Tensor:
    """Weights (..., k, k) of pairs whose first item has the larger profit."""
    gaps = (profit.unsqueeze(-1) - profit.unsqueeze(-2)).clamp_min(0.0)
    return gaps.log1p() / math.log(10)


def _profit_gradient(scores: torch.Tensor, profit: torch.Tensor) -> torch.Tensor:
    best = _best(profit, 6)
    s = scores.gather(-1, best)
    leads = s.unsqueeze(-2) - s.unsqueeze(-1)
    pull = _weights(profit.gather(-1, best)) * leads.sigmoid() / best.shape[-1]
    return torch.zeros_like(scores).scatter(-1, best, pull.sum(-2) - pull.sum(-1))


@declare(
    family="ranking",
    inputs=PROFITS,
    latex=r"\ell(s, g) = \frac1k \sum_{g_i > g_j} \log_{10}(1 + g_i - g_j)\, "
    r"\log\big(1 + e^{-(s_i - s_j)}\big)",
    gradient=Gradient(
        r"\frac{\partial \ell}{\partial s_i} = \frac1k \sum_j w_{ji}\, \sigma(s_i - s_j) - "
        r"w_{ij}\, \sigma(s_j - s_i), \qquad w_{ij} = \log_{10}(1 + \max(0, g_i - g_j))",
        _profit_gradient,
    ),
    source=Source("li2025risky", "the profit-aware binary cross-entropy"),
    facts=(
        Fact(
            "The same number added to all profits changes nothing",
            lambda s, g: (pa_bce(s, g + 3), pa_bce(s, g)),
        ),
        Fact(
            "Two items whose profits are 9 apart: half the logistic loss of their lead",
            lambda s, g: (
                pa_bce(s[:, :2], s.new_tensor([9.0, 0.0]).expand(len(s), 2), reduction="none"),
                softplus(s[:, 1] - s[:, 0]) / 2,
            ),
        ),
        unbounded(how="linearly in the lead of a smaller profit"),
    ),
    stability="A softplus for each pair, exact in both tails.",
    notes="Items beyond the k largest profits are not seen, however high their scores. A list "
    "whose profits are all equal has loss 0 and does not count in the mean. Logarithms are to base "
    "10, of profits in the currency that they come in.",
    related=("mw_loss", "pld"),
    view={"at": {"profit": (9.0, 0.0, 4.0, 1.0)}},
    also=("learning to rank", "profit", "pairwise logistic", "RankNet", "risk"),
    use="A list is ranked, and taking the wrong one of two costs the difference of their profits.",
    avoid="Errors cost alike, or profits of low-ranked items matter as well.",
)
def pa_bce(scores: torch.Tensor, profit: torch.Tensor, *, top_k: int = 6) -> RowLosses:
    """Profit-aware pairwise loss: items in the order of their profits, pairs weighed by the gap.

    top_k : how many items of the largest profits count, at least 1, default 6.

    Raises ValueError for another top_k.
    """
    best = _best(profit, check_count("top_k", top_k))
    exact = scores.gather(-1, best).to(row_dtype(scores))
    gains = profit.gather(-1, best)
    weights = _weights(gains.to(exact.dtype))
    one, other = exact.unsqueeze(-1), exact.unsqueeze(-2)
    # NaN stays, an infinite score beside itself is not a pair
    free = (weights == 0) & ~one.isnan() & ~other.isnan()
    pairs = softplus((other - one).masked_fill(free, 0.0))
    rows = (weights * pairs).sum((-2, -1)) / best.shape[-1]
    return RowLosses(rows, denominator=(gains != gains[..., :1]).any(-1).sum())
