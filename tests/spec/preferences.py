"""Keys of preferences and of forgetting: towards an answer, or away from a text."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from lossviz import analysis, losses

from .adapters import Call, Inputs, Params, reduced
from .teachers import kl_of_softmax

ANSWERS = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")


def answers(i: Inputs, of: str = "logp") -> list[torch.Tensor]:
    return [i[f"{name}_{of}"].double() for name in ANSWERS]


def with_degrees(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    parts = {"dpo": losses.dpo(*answers(i), beta=p["beta"])}
    for which in ("chosen", "rejected"):
        logits = i[f"degree_logits_{which}"].double()
        parts[f"ce_{which}"] = losses.cross_entropy(logits, i["degree_labels"])
    total = parts["dpo"] + p["gamma"] * (parts["ce_chosen"] + parts["ce_rejected"])
    return {**parts, "total": total}


def of_critical_tokens(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The paper weighs tokens and sums; the code takes each place of both answers for a pair."""
    chosen = i["ce_prob_chosen"].double()
    chosen = torch.ones_like(chosen) if p.get("only_neg", True) else chosen
    rejected = 1 - i["ce_prob_rejected"].double()
    weights = (chosen, rejected, chosen, rejected)
    weighed = [w * logp for w, logp in zip(weights, answers(i, "token_logp"), strict=True)]
    tokens = losses.dpo(*weighed, beta=p["beta"], reduction="none")
    texts = losses.dpo(*(x.sum(-1) for x in weighed), beta=p["beta"], reduction="none")
    return {
        "code_token_loss": tokens, "code_mean": tokens.mean(),
        "sequence_loss": texts, "sequence_mean": texts.mean(),
    }  # fmt: skip


def token_score(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    alpha = p.get("alpha", 1.0)
    right, wrong = i["logits_positive_model"].double(), i["logits_negative_model"].double()
    nll = losses.cross_entropy((1 + alpha) * right - alpha * wrong, i["tokens"], reduction="none")
    return {"ce_prob": (-nll).exp(), "rejected_weight": -torch.expm1(-nll)}


def with_score_gap(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """A gap is a lead that has to be made up first; the code leaves it out and adds likelihood."""
    chosen, rejected, *ref = answers(i)
    gap = i["score_gap"].double() / p["beta"]
    behind, ahead = gap.clamp_min(0.0), (-gap).clamp_min(0.0)
    paper = losses.dpo(chosen - behind, rejected - ahead, *ref, beta=p["beta"], reduction="none")
    code = losses.dpo(chosen, rejected, *ref, beta=p["beta"], reduction="none")
    total = p["dpo_weight"] * code.mean() - p["sft_weight"] * chosen.mean()
    return {"sdpo_paper": paper, "dpo_code": code, "code_total": total}


def outcome_reward(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """DPO against nothing; the published one passes through a float32 sigmoid."""
    policy, ref, right = i["policy_logp"].double(), i["ref_logp"].double(), i["label"] != 0
    none = torch.zeros_like(policy)
    pairs = (policy, none, ref, none), (none, policy, none, ref)
    one, other = (losses.dpo(*pair, beta=p["beta"], reduction="none") for pair in pairs)
    chance = (p["beta"] * (policy - ref)).float().sigmoid()
    return {
        "official_float32": F.binary_cross_entropy(chance, i["label"].float()),
        "logit_form": reduced(torch.where(right, one, other), r),
    }


def process_reward(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    ratio = p["beta"] * i["token_log_ratio"].double()
    return {"q": ratio.cumsum(-1), "r": ratio}


def soft_value(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The rewards that the optimal policy implies after its first step, and those of prefixes."""
    first, second, beta = i["ref_first"].double(), i["ref_second"].double(), p["beta"]
    joint, reward = first[:, None] * second, i["reward"].double()
    policy = analysis.tilted_policy(joint.flatten(), reward.flatten(), beta=1 / beta).policy
    implied = beta * (policy.reshape(joint.shape).sum(1) / first).log()
    root = beta * (joint * (reward / beta).exp()).sum().log()
    value = beta * (second * (reward / beta).exp()).sum(1).log()
    return {"q_first_step": implied, "log_mean_exp_value": value - root, "normaliser": root}


def step_advantages(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor | int]:
    values = torch.cat([torch.as_tensor(i["value_of_prompt"]).double()[None], i["q_after_step"]])
    advantage = values.diff()
    loss = -(advantage * i["step_logp"].double()).sum()
    pit = int(i["q_after_step"].argmin())
    return {"advantage": advantage, "loss": loss, "first_pit": pit}


def with_two_weights(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    red = i["nll_red"].double()
    weight = torch.where(red < p["threshold"], p["weight_below"], p["weight_above"])
    parts = {"blue": i["nll_blue"].double().mean(), "red": (weight * red).mean()}
    return {**parts, "total": parts["blue"] - parts["red"]}


def kl_to_the_start(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return kl_of_softmax(i["ref_logits"].double(), i["logits"].double(), 1.0).mean()


def text_logp(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probability of each text: the sum over its kept tokens."""
    nll = losses.cross_entropy(logits[:, :-1].double(), labels[:, 1:], reduction="none")
    return -nll.sum(1)


def of_texts(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    policy = text_logp(i["logits"], i["labels"]).requires_grad_()
    ref = text_logp(i["ref_logits"], i["labels"])
    loss = losses.npo(policy, ref, beta=p["beta"])
    (weight,) = torch.autograd.grad(loss * len(policy), policy)
    return {"loss": loss.detach(), "weight": weight, "log_ratio": (policy - ref).detach()}


def limits_of_npo(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    ratio = i["log_ratio"].double()
    ends = ratio.clamp_max(0.0), (-ratio).clamp_max(0.0)
    loss = losses.npo(*ends, beta=p["beta"], reduction="none")
    return {
        "loss": loss,
        "loss_minus_2log2_over_beta": loss - 2 * math.log(2) / p["beta"],
        "limit_large_beta": losses.npo(*ends, beta=1e12, reduction="none").round(decimals=9),
    }


def inverted_hinge(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits = i["logits"].double().requires_grad_()
    rows = losses.ihl(logits, i["y"], reduction="none")
    (slope,) = torch.autograd.grad(rows.sum(), logits)
    return {"per_token": rows.detach(), "mean": rows.detach().mean(), "grad_sum": slope}


def hinge_without_softmax(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor | int]:
    """The code takes logits for probabilities where all of them lie in [0, 1]."""
    logits, y = i["logits"].double(), i["y"]
    applied = bool(((logits < 0) | (logits > 1)).any())
    rows = losses.ihl(logits, y, reduction="none")
    itself = F.one_hot(y, logits.shape[-1]).bool()
    raw = 1 + logits[itself] - logits.masked_fill(itself, -math.inf).amax(-1)
    return {
        "code_value": (rows if applied else raw).mean(),
        "code_applied_softmax": int(applied),
        "with_softmax": rows.mean(),
    }


def subtracted(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    left = losses.logit_difference(
        i["base_logits"].double(), i["assistant_logits"].double(),
        weight=p["weight"], relative_top=p.get("relative_top"),
    )  # fmt: skip
    return {
        "logits": left.logits, "masked": left.masked.long(), "probs": left.logits.softmax(-1)
    }  # fmt: skip


def plainly_subtracted(i: Inputs, p: Params, r: str) -> torch.Tensor:
    models = i["base_logits"].double(), i["assistant_logits"].double()
    left = losses.logit_difference(*models, weight=-p["alpha"], relative_top=None)
    return left.logits.softmax(-1)


def multiplier(excess: float, p: Params) -> float:
    """A staircase between two ends, in steps of a tenth."""
    low, high = p.get("floor", 1.2), p.get("cap", 2.3)
    if excess <= 0:
        return low
    height = p.get("a", 0.3) * p.get("b", 6) ** excess + p.get("c", 0.8)
    return min(max(round(height, 1), low), high)


def forget_and_retain(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor | float]:
    """The baseline, as published, is divided by the number of examples instead of batches."""
    forget = i["factor"] < 0
    labels = i["input_ids"].masked_fill(i["loss_mask"] == 0, -100)
    forgotten, retained = (
        losses.cross_entropy(i[name][:, :-1].double(), labels[which][:, 1:])
        for name, which in (("logits_forget", forget), ("logits_retain", ~forget))
    )
    baseline = p.get("baseline")
    excess = retained.item() - baseline if p.get("epoch", 0) and baseline is not None else 0.0
    by = multiplier(excess, p)
    found = {
        "loss": by * retained - forgotten, "ce_forget": forgotten, "ce_retain": retained,
        "multiplier": by,
    }  # fmt: skip
    if not p.get("epoch", 0):
        found["baseline_after"] = retained / (~forget).sum()
    return found


def doubly_masked(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """What is left of a divergence when tokens are taken out of it is none: it may be negative."""
    student, teacher = i["logits"].double(), i["ref_logits"].double()
    log_p, log_q = student.log_softmax(-1), teacher.log_softmax(-1)
    terms = log_q.exp() * (log_q - log_p) * i["vocab_mask"]
    kept = i["token_mask"]
    dmk = (terms.sum(-1) * kept).sum() / kept.sum()
    ce = losses.cross_entropy(student, i["targets"])
    return {
        "dmk": dmk, "ce": ce, "total": p["ce_weight"] * ce + p["dmk_weight"] * dmk,
        "full_kl_unmasked": kl_of_softmax(teacher, student, 1.0).mean(),
    }  # fmt: skip


CALLS: dict[str, Call] = {
    "spo": with_degrees,
    "cdpo": of_critical_tokens,
    "contrastive_token_score": token_score,
    "sdpo": with_score_gap,
    "implicit_prm_ce": outcome_reward,
    "implicit_process_reward": process_reward,
    "soft_value_identity": soft_value,
    "step_advantage_pg": step_advantages,
    "advantage_weighted_target": lambda i, p, r: (
        analysis.tilted_policy(i["sft_policy"], i["advantage"], beta=1 / p["beta"]).policy
    ),
    "safe_align_sketch": with_two_weights,
    "retain_kl": kl_to_the_start,
    "npo": of_texts,
    "npo_limits": limits_of_npo,
    "ihl": inverted_hinge,
    "ihl_quirk": hinge_without_softmax,
    "uld_logits": subtracted,
    "uld_logits_plain": plainly_subtracted,
    "sha256_joint": forget_and_retain,
    "sha256_multiplier": lambda i, p, r: torch.as_tensor(multiplier(float(i["delta"]), p)),
    "dual_masked_kl": doubly_masked,
}  # fmt: skip
