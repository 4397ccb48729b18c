"""Keys of losses for the number that is reported: bags, soft counts, lists, missing labels."""

from __future__ import annotations

import math

import torch

from lossviz import losses, theory

from .adapters import Call, Inputs, Params, given, gradient, literal, reduced


def bags_of_one_size(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.interpolating_bag_loss(
        i["pred"].double()[i["bags"]],
        i["response"].double()[i["bags"]].mean(-1),
        rho=p["rho"],
        reduction=literal(r),
    )


def scores_of_decisions(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    return {
        score: losses.anyloss(
            i["p"].double(), i["y"], steepness=p.get("L", 73.0), beta=p.get("beta", 1.0),
            score=score,
        )
        for score in ("accuracy", "fbeta", "gmean", "balanced_accuracy")
    }  # fmt: skip


def profit_aware(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """To another base than 10, where the record asks for it."""
    base = p.get("log_base", 10)
    base = math.e if isinstance(base, str) else float(base)
    score, profit = i["score"].double(), i["pnl"].double()
    rows = losses.pa_bce(score, profit, top_k=p.get("top_k", 6), reduction="none")
    return rows * math.log(10) / math.log(base)


def right_ones(i: Inputs) -> torch.Tensor:
    """The diagonal of the first columns."""
    return torch.arange(len(i["sim"]))


def mann_whitney(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """As in the lemma, or as in the paper: the sum over the wrong candidates."""
    sim = i["sim"].double()
    rows = losses.mw_loss(
        sim, right_ones(i), temperature=p.get("temperature", 0.01), reduction="none"
    )
    wrong = sim.numel() - len(sim) if p.get("normalisation", "mean") == "paper" else 1
    return reduced(rows, r) * wrong


def among_the_best(i: Inputs, p: Params, r: str) -> torch.Tensor:
    k = p.get("k", 5)
    return losses.soft_topk(
        i["sim"].double(), i["targets"], alpha=p.get("alpha", 2.0),
        k=None if isinstance(k, str) else k, reduction=literal(r),
    )  # fmt: skip


def sum_over_positives(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return among_the_best(i, p, "none") * i["targets"].sum(-1)


def naive_bayes_ips(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The published code takes the largest indices for the numbers of users and items."""
    users, items = i["user_item"].max(0).values.tolist()
    pairs = p.get("num_users", users) * p.get("num_items", items)
    return 1 / losses.naive_bayes_propensities(i["y"], i["uniform_sample_y"], num_pairs=pairs)


def weighted_by_propensity(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    given = i["p"].double(), i["y"], i["weight"].double()
    return {
        "ips": losses.ips_weighted_bce(*given),
        "self_normalised": losses.ips_weighted_bce(*given, self_normalised=True),
    }


def continual(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The largest of all detectors; ignored pixels count in the mean."""
    rows = losses.bacs_weighted_ce(
        i["logits"].double().movedim(1, -1), i["target"], i["seen_prob"].double().amax(1),
        gamma=p.get("gamma", 2.0), threshold=p.get("threshold", 0.5),
        old_classes=p["old_classes"], merged=p.get("ukd", True),
        ignore_index=p.get("ignore_index", 255), reduction="none",
    )  # fmt: skip
    return reduced(rows, r)


def asymptotic_risk(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    return theory.aggregate_asymptotic_risk(i["rho"].double(), **given(p))._asdict()


CALLS: dict[str, Call] = {
    "interpolating_bag_loss": bags_of_one_size,
    "aggregate_asymptotic_risk": asymptotic_risk,
    "anyloss": scores_of_decisions,
    "tri_bce": lambda i, p, r: losses.tri_bce(
        i["logit_deep"].double(), i["logit_shallow"].double(), i["y"], **given(p)
    ),
    "pa_bce": profit_aware,
    "mw_loss": mann_whitney,
    "soft_topk": among_the_best,
    "soft_topk_grad": gradient(sum_over_positives, "sim"),
    "gaussian_kernel": lambda i, p, r: losses.gaussian_kernel(
        i["Y"].double(), i["X"].double(), **given(p)
    ),
    "naive_bayes_ips": naive_bayes_ips,
    "ips_weighted_bce": weighted_by_propensity,
    "bacs_weighted_ce": continual,
}
