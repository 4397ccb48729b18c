r"""The comp-sum family: Phi^tau of the sum of exponentiated score differences.

One parameter leads from the exponential loss of boosting (tau = 0) through cross-entropy (tau = 1)
and generalised cross-entropy (1 < tau < 2) to the mean absolute error (tau = 2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ...declaration import (
    Fact,
    Loss,
    Row,
    Source,
    bounded,
    convex,
    declare,
    minimiser,
    monotone,
    not_proper,
    number,
    sum_over_labels,
    unbounded,
)

MAO = Source("mao2023cross", "definition of comp-sum losses")

TAU = number(
    "tau", r"\tau", "[0, inf)", (0.0, 3.0, 0.05),
    "the gradient of cross-entropy is re-weighted by p^(tau - 1)",
    "hard examples dominate (sum-exponential loss)",
    "hard examples are ignored (2: mean absolute error)",
    default=1.0,
    label="how much hard examples count", ends=("most", "hardly at all"),
)  # fmt: skip


def _around_one(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sides = [comp_sum(z, y, tau=1 + h, reduction="none") for h in (-1e-9, 1e-9)]
    return torch.cat(sides), comp_sum(z, y, reduction="none").repeat(2)


@declare(
    family="comp-sum",
    latex=r"\ell_\tau(z, y) = \Phi^\tau\Big(\sum_{j \ne y} e^{z_j - z_y}\Big) "
    r"= \frac{1 - p_y^{\tau - 1}}{\tau - 1} \quad (\tau \ne 1), \qquad \ell_1(z, y) = -\log p_y",
    form="Piecewise((-log(p), Eq(tau, 1)), ((1 - p**(tau - 1))/(tau - 1), True))",
    slope="p**(tau - 1)",
    parameters=(TAU,),
    source=MAO,
    facts=(
        Fact(
            "tau = 1 is torch's cross-entropy, strictly proper",
            lambda z, y: (comp_sum(z, y), F.cross_entropy(z, y)),
            trait="proper",
            when="tau = 1",
        ),
        sum_over_labels("K - 1", tau=2.0, source=Source("ghosh2017robust", "symmetric losses")),
        Fact(
            "It is the alpha-loss with alpha = 1/(2 - tau), for tau < 2",
            lambda z, y: (
                comp_sum(z, y, tau=1.5, reduction="none"),
                2 * (1 - (z.log_softmax(-1).gather(-1, y[..., None])[..., 0] / 2).exp()),
            ),
            source=Source("sypherd2022tunable", "definition"),
        ),
        Fact("Continuous through tau = 1 from both sides", _around_one, rtol=1e-6),
        Fact(
            "For a symmetric and complete hypothesis set the excess zero-one risk, gap included, "
            "is bounded by an explicit increasing function of the excess comp-sum risk, for every "
            "tau >= 0.",
            status="quoted",
            source=MAO,
        ),
        monotone("tau"),
        bounded("0", "1/(tau - 1)", when="tau in (1, inf)"),
        unbounded("tau in [0, 1]"),
        minimiser("log(eta)/(2 - tau)", when="tau in [0, 2)"),
        convex("tau in [0, 1]", why="a convex increasing function of a log-sum-exp"),
    ),
    stability="Computed from the margin m against the log-sum-exp of the other classes: "
    "-log p = log(1 + exp(-m)) keeps its digits where p rounds to 1. For tau < 1 the gradient is "
    "formed in one exact exponent, so that it is inf only where its true value exceeds the "
    "dtype.",
    related=("cross_entropy", "generalized_cross_entropy", "mae", "sum_exponential"),
    view={"starts": {"tau": 1.5}},
    also=("tau loss", "Phi-tau loss", "alpha-loss"),
    use="To move between cross-entropy and its relatives by one number: tau above 1 "
    "where some labels are wrong, below 1 where hard examples should lead.",
    avoid="Probabilities are wanted as they come: only tau = 1 is proper. Beyond tau = 1 "
    "training can stall at examples that start out wrong.",
)
def comp_sum(row: Row, *, tau: float = 1.0) -> torch.Tensor:
    """Comp-sum loss: cross-entropy and its relatives on one dial, tau.

    For tau < 1 the loss grows like exp((1 - tau) * -margin) and is inf exactly where that exceeds
    the dtype; gradients likewise, never NaN for finite logits. Where the target is ruled out (-inf)
    the gradient is infinite for tau < 1, and 0 for other classes that are. Strictly proper for
    tau = 1 only.
    """
    return row.box_cox(tau - 1.0)


@declare(
    family="comp-sum",
    latex=r"\ell(z, y) = \sum_{j \ne y} e^{z_j - z_y} = \frac{1}{p_y} - 1",
    form="1/p - 1",
    source=Source("weston1998multi", "sums over the other classes", "theirs is of hinges"),
    facts=(
        Fact(
            "Comp-sum at tau = 0",
            lambda z, y: (sum_exponential(z, y), comp_sum(z, y, tau=0.0)),
        ),
        Fact(
            "With two classes it is exp(-margin), the exponential loss of boosting",
            lambda z, y: (
                sum_exponential(z[:, :2], y % 2, reduction="none"),
                (z[:, :2].gather(1, 1 - y[:, None] % 2) - z.gather(1, y[:, None] % 2)).exp()[:, 0],
            ),
        ),
        convex(why="a sum of exponentials of linear functions"),
        unbounded(how="grows exponentially with a wrong lead"),
        minimiser("log(eta)/2"),
    ),
    stability="Overflows to inf where exp of the lead does (88 nats in float32), by its nature.",
    related=("comp_sum",),
    also=("exponential loss", "AdaBoost loss"),
    use="Clean labels and a small model whose worst examples should lead, as in "
    "boosting; for its theory.",
    avoid="There is any label noise: one wrong label can outweigh a batch. Half "
    "precision: it overflows early.",
)
def sum_exponential(row: Row) -> torch.Tensor:
    """Sum-exponential loss: every wrong class pays the exponential of its lead (tau = 0)."""
    return row.box_cox(-1.0)


@declare(
    family="comp-sum",
    latex=r"\ell(z, y) = \log\Big(1 + \sum_{j \ne y} e^{z_j - z_y}\Big) = -\log p_y",
    form="-log(p)",
    source=Source(
        "bridle1990probabilistic", "softmax outputs", "the logistic curve is Verhulst's (1838)"
    ),
    facts=(
        Fact("Comp-sum at tau = 1", lambda z, y: (logistic(z, y), comp_sum(z, y))),
        Fact(
            "With two classes it is softplus(-margin)",
            lambda z, y: (
                logistic(z[:, :2], y * 0, reduction="none"),
                F.softplus(z[:, 1] - z[:, 0], threshold=60.0),
            ),
        ),
        minimiser("log(eta)", source=Source("gneiting2007strictly", "the logarithmic score")),
        convex(why="a log-sum-exp minus a linear function"),
    ),
    stability="As comp_sum; correct beyond 17 nats in float32, where 1 - p rounds to 0.",
    related=("cross_entropy", "comp_sum"),
    also=("log loss", "softmax loss", "multinomial logistic regression", "maximum entropy"),
    in_torch="F.cross_entropy(logits, target)",
    use="As cross-entropy, where labels are integers and nothing else is needed.",
    avoid="There are soft targets, class weights or label smoothing: take cross-entropy.",
)
def logistic(row: Row) -> torch.Tensor:
    """Multinomial logistic loss: cross-entropy with integer labels (comp-sum at tau = 1)."""
    return row.nll


def _range_of_the_sum(loss: Loss) -> None:
    logits = 5 * loss.inputs.example(batch=(500,), K=6)[0]
    logits[0] = 0.0
    for q in (0.1, 0.5, 0.7, 1.0):
        labels = torch.arange(6).expand(500, 6)
        total = loss(logits.unsqueeze(1).expand(500, 6, 6), labels, q=q, reduction="none").sum(1)
        low, high = (6 - 6 ** (1 - q)) / q, 5 / q
        assert low - 1e-12 <= total.min()
        assert total.max() <= high + 1e-12
        assert abs(total[0] - low) < 1e-9


Q = number(
    "q", "q", "[0, 1]", (0.0, 1.0, 0.05),
    "how far from cross-entropy towards the mean absolute error; equals tau - 1",
    "cross-entropy: learns fast, also from wrong labels",
    "mean absolute error: tolerant of uniform label noise, learns slowly",
    label="how little hard examples count", ends=("cross-entropy", "mean absolute error"),
)  # fmt: skip


@declare(
    family="comp-sum",
    latex=r"\ell_q(z, y) = \frac{1 - p_y^q}{q} \quad (q \ne 0), \qquad \ell_0(z, y) = -\log p_y",
    form="Piecewise((-log(p), Eq(q, 0)), ((1 - p**q)/q, True))",
    slope="p**q",
    parameters=(Q,),
    source=Source("zhang2018generalized", "definition of the L_q loss"),
    facts=(
        Fact(
            "Comp-sum at tau = 1 + q",
            lambda z, y: (generalized_cross_entropy(z, y), comp_sum(z, y, tau=1.7)),
        ),
        bounded("0", "1/q", when="q in (0, 1]"),
        Fact(
            "Its sum over all K labels lies between (K - K^(1 - q))/q and (K - 1)/q, a range that "
            "shrinks to a point as q grows to 1.",
            trait="robust",
            when="q to 1",
            source=Source("zhang2018generalized", "lemma on the sum over classes"),
            holds=_range_of_the_sum,
        ),
        minimiser("log(eta)/(1 - q)", when="q in [0, 1)"),
    ),
    stability="As comp_sum; smooth through q = 0.",
    related=("comp_sum", "mae", "cross_entropy"),
    also=("GCE", "L_q loss", "truncated GCE", "TGCE"),
    use="A share of the labels is wrong in no systematic way, and the mean absolute "
    "error learns too slowly.",
    avoid="Labels are clean or probabilities are wanted: for q above 0 the softmax is "
    "not calibrated, and many classes learn slowly.",
)
def generalized_cross_entropy(row: Row, *, q: float = 0.7) -> torch.Tensor:
    """Generalised cross-entropy: between cross-entropy (q = 0) and the mean absolute error (q = 1).

    Not through comp_sum(tau=1 + q): the sum would round a small q away. For 0 < q < 1 it is not
    proper.
    """
    return row.box_cox(q)


@declare(
    family="comp-sum",
    latex=r"\ell(z, y) = 1 - p_y = \tfrac12 \lVert p - e_y \rVert_1",
    form="1 - p",
    source=Source("ghosh2017robust", "mean absolute error", "the paper's value is twice ours"),
    facts=(
        Fact("Comp-sum at tau = 2", lambda z, y: (mae(z, y), comp_sum(z, y, tau=2.0))),
        Fact(
            "Half the L1 distance to the one-hot label",
            lambda z, y: (
                mae(z, y, reduction="none"),
                (z.softmax(-1) - F.one_hot(y, z.shape[-1])).abs().sum(-1) / 2,
            ),
        ),
        bounded("0", "1"),
        sum_over_labels("K - 1", source=Source("ghosh2017robust", "symmetric losses")),
        Fact(
            "If each label is wrong with a probability below 1 - 1/K, evenly over the other "
            "classes, a minimiser of the noisy risk minimises the clean risk as well.",
            trait="robust",
            status="quoted",
            source=Source("ghosh2017robust", "theorem on uniform label noise"),
        ),
        not_proper("Not proper: the expected loss falls towards the most likely class alone"),
    ),
    stability="1 - p is -expm1(log p): exact where p rounds to 1; its slope also where p is tiny.",
    related=("comp_sum", "generalized_cross_entropy"),
    also=("MAE", "L1 loss of the softmax"),
    in_torch="(1 - logits.softmax(-1).gather(-1, target.unsqueeze(-1))).mean()",
    use="Much uniform label noise and few classes, or as the tolerant end of a comparison.",
    avoid="There are many classes, or training starts from scratch: examples that start "
    "out wrong have almost no gradient.",
)
def mae(row: Row) -> torch.Tensor:
    """Mean absolute error: one minus the target probability (comp-sum at tau = 2).

    Papers often drop the factor 1/2.
    """
    return row.box_cox(1.0)
