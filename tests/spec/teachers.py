"""Keys of teachers: a model that learns from another one, and what it gets wrong since."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.optimize import linprog

from lossviz import analysis, losses

from .adapters import Call, Inputs, Params, literal


def kl_of_softmax(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL(teacher || student) of each row at a temperature, not multiplied by its square."""
    rows = losses.tempered_kl(student, teacher, temperature=temperature, reduction="none")
    return rows / temperature**2


def judged(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """Both divergences, with the small number that the code adds inside its logarithms."""
    model, judge = (
        (i[name].double() / p["temperature"]).softmax(-1) for name in ("scores", "judge_scores")
    )
    eps = p.get("eps", 1e-8)
    lead = (judge + eps).log() - (model + eps).log()
    return ((judge - model) * lead).sum(-1).mean() / 2


def partial_ranking(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """At each valid rank a cross-entropy over what is left, easy negatives always among it."""
    easy = i.get("extra_negative_sim")
    steps = []
    for n, (student, teacher) in enumerate(
        zip(i["student_sim_to_hard_negatives"].double(), i["teacher_scores"], strict=True)
    ):
        order = teacher.argsort(descending=True, stable=True)
        valid = int((teacher >= p.get("valid_threshold", -math.inf)).sum())
        ranked = student[order]
        more = easy[n].double() if isinstance(easy, torch.Tensor) else student[:0]
        for j in range(valid):
            left = torch.cat([ranked[j:], more]) / p["tau"]
            if len(left) > 1:
                steps.append(losses.cross_entropy(left, torch.tensor(0)))
    return torch.stack(steps).mean() if steps else torch.zeros(())


def of_aspects(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits, classes = i["logits"].double(), p["num_classes"]
    ce = losses.cross_entropy(logits[:, :classes], i["labels"])
    aspect = F.binary_cross_entropy_with_logits(logits[:, classes:], i["aspect_targets"].double())
    loss = p.get("ce_weight", 1.0) * ce + p["alpha"] * aspect
    return {"ce": ce, "aspect": aspect, "loss": loss}


def of_rationales(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The best positive one, and the negative one that is nearest to being far enough."""
    best = i["pos_seq_loss"].double().argmin(-1, keepdim=True)
    positive = (i["pos_quality"] * i["pos_seq_loss"]).double().gather(-1, best)[:, 0]
    short = (i["neg_seq_loss"].double() - p["delta"]).clamp_max(0.0)
    nearest = short.argmax(-1, keepdim=True)
    negative = ((1 - i["neg_quality"].double()) * short).gather(-1, nearest)[:, 0]
    return (positive - p["beta"] * negative).mean()


def cosine_error(i: Inputs, p: Params, r: str) -> torch.Tensor:
    cosine = F.cosine_similarity(i["u"].double(), i["v"].double())
    return F.mse_loss(cosine, i["pseudo_scores"].double())


def two_versions(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """Where the student is wrong it follows the old model, else the new one."""
    student, temperature = i["student"].double(), p["temperature"]
    wrong = student.argmax(-1) != i["labels"]
    teacher = torch.where(wrong[:, None], i["old_model"], i["new_model"]).double()
    return {"mask": wrong.long(), "loss": kl_of_softmax(teacher, student, temperature).mean()}


def flip_rates(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    rates = analysis.flip_rates(i["old"], i["new"], i["labels"])
    return {"nfr": rates.negative, "pfr": rates.positive, "nfr_mc": rates.changed}


def smooth_flips(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    flips = analysis.smooth_flips(i["sim_old"], i["sim_new"])
    return {
        "pfr": flips.positive, "nfr": flips.negative,
        "gain": flips.gain, "regression": flips.regression,
    }  # fmt: skip


def shape_of_weights(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    ddof = p.get("ddof", 1)
    kurtosis = analysis.kurtosis(i["weight"], ddof=ddof)
    skewness = analysis.skewness(i["weight"], ddof=ddof)
    parts = {
        "kurtosis_loss": (kurtosis - p.get("kurtosis_target", 1.8)) ** 2,
        "skewness_loss": (skewness - p.get("skewness_target", 0.0)) ** 2,
    }
    wdr = p["kurt_rate"] * parts["kurtosis_loss"] + p["skew_rate"] * parts["skewness_loss"]
    return {"kurtosis": kurtosis, "skewness": skewness, **parts, "wdr": wdr}


def chain_of_subnets(i: Inputs, p: Params, r: str) -> list[torch.Tensor]:
    """The largest by its labels alone, each other one by these and by the one before it."""
    labels, alpha = i["labels"], p["alpha"]
    found, before = [], None
    for logits in i["logits_biggest_to_smallest"].double():
        loss = losses.cross_entropy(logits, labels)
        if before is not None:
            taught = kl_of_softmax(before, logits, p["temperature"]).mean()
            loss = alpha * taught + (1 - alpha) * loss
        found.append(loss)
        before = logits
    return found


def earth_mover(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """Next tokens; beside cross-entropy, with the ratio of both held fixed."""
    logits = i["logits"][:, :-1].double()
    labels = i["labels"][:, 1:]
    kept = labels != p.get("ignore_index", -100)
    logits, labels = logits[kept], labels[kept]
    ce = losses.cross_entropy(logits, labels, reduction="none")
    term = losses.emo(logits, labels, i["cost_embedding"].double(), reduction="none")
    if not p.get("keep_target_mass", True):
        term = term + (-ce).exp()
    if p["mode"] == 1:
        ratio = ce / (term + 1e-10)
        cap = p.get("ratio_cap")
        ratio = ratio if cap is None else ratio.clamp_max(cap)
        loss = (ce + ratio * term) / 2
    else:
        loss = term + term / (ce + 1e-10) * ce
    return {"loss": loss.mean(), "emo_term": term.mean(), "ce": ce.mean()}


def earth_mover_bound(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """An average over labels of the distance to each, beside the cheapest transport of all."""
    p_law, q_law = i["p"].double(), i["q"].double()
    count = len(p_law)
    sure = torch.eye(count).double().log().repeat(count, 1)  # all mass on one class, each in turn
    labels = torch.arange(count).repeat_interleave(count)
    costs = losses.emo(sure, labels, i["cost_embedding"].double(), reduction="none")
    rows = torch.eye(count).repeat_interleave(count, 1)
    columns = torch.eye(count).repeat(1, count)
    laws = torch.cat([p_law, q_law])
    cheapest = linprog(
        costs.numpy(), A_eq=torch.cat([rows, columns]).numpy(), b_eq=laws.numpy(), bounds=(0, None)
    )
    demo = losses.emo(
        q_law.log().expand(count, -1), torch.arange(count), i["cost_embedding"].double(),
        reduction="none",
    )  # fmt: skip
    return {"demo": (p_law * demo).sum(), "emd_exact": cheapest.fun}


def earth_mover_gradient(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    logits = i["logits"].double().requires_grad_()
    value = losses.emo(logits, torch.as_tensor(i["y"]), i["cost_embedding"].double())
    return {"value": value.detach(), "grad": torch.autograd.grad(value, logits)[0]}


CALLS: dict[str, Call] = {
    "unime_v2_soft_kl": judged,
    "unime_v2_judge_score": lambda i, p, r: (
        i["yes_logit"].double() - i["no_logit"].double()
    ).sigmoid(),
    "cprd": partial_ranking,
    "makd": of_aspects,
    "qcrd_contrastive": of_rationales,
    "trans_encoder_cross": lambda i, p, r: F.binary_cross_entropy_with_logits(
        i["logits"].double(), i["pseudo_scores"].double().clamp(0, 1), reduction=literal(r)
    ),
    "trans_encoder_bi": cosine_error,
    "trans_encoder_mutual_targets": lambda i, p, r: i["model_scores"].double().mean(0),
    "muscle": two_versions,
    "negative_flip_rates": flip_rates,
    "smooth_flip_metrics": smooth_flips,
    "eqnet_wdr": shape_of_weights,
    "eqnet_gpg": chain_of_subnets,
    "emo": earth_mover,
    "emo_adaptive": earth_mover,
    "emo_bound": earth_mover_bound,
    "emo_gradient": earth_mover_gradient,
}  # fmt: skip
