"""Keys of the entropy part of the dynamics sheet."""

from __future__ import annotations

import math

import torch

from lossviz.analysis import alignment, divergence, policy, reward_law, sampling, token_covariance

from .adapters import Call, Inputs, Params


def entropy_cov(i: Inputs, p: Params, r: str) -> dict[str, dict[str, torch.Tensor]]:
    z, advantage = i["logits"].double(), i["advantage"].double()
    steps = {
        "vanilla_pg": p["eta"] * z.softmax(-1) * (advantage - z.softmax(-1) @ advantage),
        "natural_pg": p["eta"] * advantage,
    }
    found = {name: policy.entropy_change(z, step) for name, step in steps.items()}
    return {
        name: {"cov_prediction": each.predicted, "exact_change": each.exact}
        for name, each in found.items()
    }


def reward_entropy_fit(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    law = reward_law.reward_entropy_law(i["H"], i["R"])
    return {"a": law.a, "b": law.b, "ceiling": law.ceiling}


def masked_mean(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (x * mask).sum() / (mask.sum() + 1e-8)


def aggregated(x: torch.Tensor, mask: torch.Tensor, how: str) -> torch.Tensor:
    """One number of the losses of tokens (B, T), as the trainers name it."""
    if how == "token-mean":
        return masked_mean(x, mask)
    sums = (x * mask).sum(-1)
    return (sums / mask.sum(-1) if how == "seq-mean-token-mean" else sums).mean()


def kl_cov(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The number of tokens mixes percent and count, as published."""
    mask, logp, old = i["mask"].double(), i["logp"].double(), i["old_logp"].double()
    covariance = token_covariance(i["advantages"], logp, mask)
    kept = mask.flatten().nonzero().flatten()
    count = len(kept)
    take = max(1, int(count * min(p["k_percent"], count) / 100))
    selected = torch.zeros_like(mask)
    if p["k_percent"] > 0:
        best = covariance.flatten()[kept].topk(take).indices
        selected.view(-1)[kept[best]] = 1
    ratio = logp - old
    losses = -i["advantages"].double() * ratio.exp()
    losses = losses + p["ppo_kl_coef"] * ratio.abs() * selected
    return {"loss": aggregated(losses, mask, p["agg"]), "selected": selected}


def clip_cov(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    mask, logp, old = i["mask"].double(), i["logp"].double(), i["old_logp"].double()
    advantage, clip = i["advantages"].double(), p["cliprange"]
    ratio = (logp - old).exp()
    plain, clipped = -advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)
    covariance = token_covariance(advantage, logp, mask)
    eligible = (covariance > p["cov_lb"]) & (covariance < p["cov_ub"]) & (mask > 0)
    eligible &= ~(clipped > plain)
    losses = torch.maximum(plain, clipped) * (1 - i["selected"].double())
    return {
        "loss": aggregated(losses, mask, p["agg"]), "covariance": covariance,
        "eligible": eligible.long(),
    }  # fmt: skip


def steer_weights(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    weights, omega = policy.steer_weights(
        i["advantages"], i["logp"], i["old_logp"], i["entropies"], i["mask"],
        least=p["lambda_min"], most=p["lambda_max"], linear=p["linear"],
    )  # fmt: skip
    return {"weights": weights, "omega_abs": omega}


def token_entropy_change(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    token = int(i["token"])
    found = policy.token_entropy_change(
        i["logits"], token, advantage=float(i["advantage"]),
        old_probability=float(i["old_probs"][token]),
    )  # fmt: skip
    return {
        "omega": found.omega, "dH_all_logits": found.all_logits, "dH_own_logit": found.own_logit
    }  # fmt: skip


def dph_f_terms(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = divergence.sampled_divergences(
        i["logp"].double(), i["logp_ref"].double(), alpha=p["alpha"]
    )
    return dict(zip(("forward_kl_k3", "js_generator", "alpha_f"), found, strict=True))


def f_divergence_expectations(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = divergence.divergences(i["pi"], i["ref"], alpha=p["alpha"])
    return {
        "forward_kl": found.forward_kl, "reverse_kl": found.reverse_kl,
        "jsd": found.jensen_shannon, "expected_js_generator": 2 * found.jensen_shannon,
        "alpha_divergence": found.alpha,
    }  # fmt: skip


def psr_nsr_logit_update(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    z, token = i["logits"].double(), int(i["token"])
    up = policy.logit_update(z, token)
    chance = z.softmax(-1)[token]
    weight = p["lambda_psr"]
    return {
        "psr_ascent": chance * up, "nsr_ascent": -chance * up,
        "psr_logp_form": up, "nsr_logp_form": policy.logit_update(z, token, reward=-1.0),
        "w_reinforce_correct": policy.logit_update(z, token, reward=weight),
        "w_reinforce_incorrect": policy.logit_update(z, token, reward=-1.0),
    }  # fmt: skip


def psr_nsr_advantage(i: Inputs, p: Params, r: str) -> torch.Tensor:
    scores, mask = i["token_scores"].double(), i["mask"].double()
    returns = torch.zeros_like(scores)
    after = torch.zeros(len(scores), dtype=torch.float64)
    for t in range(scores.shape[1] - 1, -1, -1):
        after = scores[:, t] + p["gamma"] * after
        returns[:, t] = after
    if p["mode"] == "negative":
        returns = returns - 1
    elif p["mode"] == "weighted":
        returns = torch.where(returns > 0, p["positive_weight"] * returns, -1.0)
    return returns * mask


def mirostat_s_hat(i: Inputs, p: Params, r: str) -> float:
    size, s = int(i["n"]), float(i["s"])
    law = torch.arange(1, size + 1, dtype=torch.float64) ** -s
    return sampling.zipf_exponent(law / law.sum(), most=p["m"])


def mirostat_k(i: Inputs, p: Params, r: str) -> dict[str, float]:
    options = {"vocabulary": p["N"]}
    k = sampling.mirostat_k(float(i["s"]), float(i["mu"]), **options)
    limit = sampling.mirostat_k(1.0, float(i["mu"]), **options)
    return {"k_float": k, "k_rounded": round(k), "limit_s_to_1": limit}


def stepped(state: sampling.Mirostat, i: Inputs) -> sampling.Step:
    state.mu = i["mu"].double()
    return state.step(i["probs"].double().log(), i["uniform"])


def mirostat_v2_step(i: Inputs, p: Params, r: str) -> dict[str, float]:
    found = stepped(sampling.Mirostat(p["tau"], rate=p["eta"]), i)
    return dict(zip(("kept", "token", "surprise_bits", "mu_next"), found, strict=True))


def mirostat_v1_step(i: Inputs, p: Params, r: str) -> dict[str, float]:
    state = sampling.Mirostat(
        p["tau"], rate=p["eta"], version=1, most=p["m"], vocabulary=p["N"],
        one_more=p["plus_one"],
    )  # fmt: skip
    ordered = i["probs"].double().sort(descending=True).values
    found = stepped(state, i)
    named = dict(zip(("k", "token", "surprise_bits", "mu_next"), found, strict=True))
    return {"s_hat": sampling.zipf_exponent(ordered, most=p["m"]), **named}


def of_answers(found, **more) -> dict[str, torch.Tensor]:
    return {"policy": found.policy, "kl": found.kl, "expected_reward": found.reward, **more}


def best_of_n(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    n = p["N"]
    found = alignment.best_of_n(i["p"], i["reward"], samples=n)
    return of_answers(found, kl_bound=math.log(n) - (n - 1) / n)


def kl_constrained_optimum(i: Inputs, p: Params, r: str) -> dict[str, object]:
    found = alignment.kl_constrained_optimum(i["p"], i["reward"], budget=p["Delta"])
    return {"beta": found.beta, "policy": found.policy, "expected_reward": found.reward}


def ead_switch(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    large = sampling.entropy_switch(
        i["entropies_bits"].double(), threshold=p["tau"], window=p["window"], stay=p["min_tokens"]
    )
    return {"large": large.long(), "frac_large": large.double().mean()}


CALLS: dict[str, Call] = {
    "ead_switch": ead_switch,
    "entropy_cov": entropy_cov,
    "reward_entropy_fit": reward_entropy_fit,
    "kl_cov": kl_cov,
    "clip_cov": clip_cov,
    "steer_weights": steer_weights,
    "token_entropy_change": token_entropy_change,
    "dph_f_terms": dph_f_terms,
    "f_divergence_expectations": f_divergence_expectations,
    "psr_nsr_logit_update": psr_nsr_logit_update,
    "psr_nsr_advantage": psr_nsr_advantage,
    "mirostat_s_hat": mirostat_s_hat,
    "mirostat_s_hat_small": lambda i, p, r: sampling.zipf_exponent(i["probs_sorted"], most=p["m"]),
    "mirostat_k": mirostat_k,
    "mirostat_v2_step": mirostat_v2_step,
    "mirostat_v1_step": mirostat_v1_step,
    "topk_cross_entropy_zipf": lambda i, p, r: sampling.top_k_zipf_cross_entropy(
        int(i["k"]), vocabulary=p["N"], exponent=p["s"]
    ),
    "best_of_n": best_of_n,
    "tilted_policy": lambda i, p, r: of_answers(
        alignment.tilted_policy(i["p"], i["reward"], beta=p["beta"])
    ),
    "kl_constrained_optimum": kl_constrained_optimum,
}
