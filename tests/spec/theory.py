"""Keys of the theory sheet."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import count
from typing import Any

import torch
import torch.nn.functional as F

from lossviz import losses, theory
from lossviz.experiments.aggregation import crossmax
from lossviz.experiments.generative import easy_gaussians, gaussian_naive_bayes
from lossviz.experiments.perceptron import (
    batch_perceptron,
    first_separation,
    lr_gd_perceptron,
    normalized_lr_gd,
)

from .adapters import (
    Call,
    Inputs,
    Params,
    given,
    gradient,
    leaf,
    literal,
    of_classes,
    of_numbers,
    over,
    reduced,
)


def worst_shifts(weight: torch.Tensor, norm: str) -> torch.Tensor:
    """Directions (S, d) among which is, for every label, the worst one for a linear model."""
    width = weight.shape[1]
    if norm == "linf":
        ends = weight.new_tensor([-1.0, 1.0])
        return torch.cartesian_prod(*[ends] * width).reshape(-1, width)
    if norm == "l2":
        return torch.stack([torch.linalg.svd(row - weight).Vh[0] for row in weight])
    raise ValueError(f"norm must be 'linf' or 'l2', got {norm!r}")


def adv_comp_sum_linear(i: Inputs, p: Params, r: str) -> torch.Tensor:
    weight, bias, x = i["W"].double(), i["b"].double(), i["x"].double()
    rows = [
        losses.adv_comp_sum(
            x @ weight.T + bias,
            (x + p["gamma"] * shift) @ weight.T + bias,
            i["target"].long(),
            reduction="none",
            **given(p, "gamma", "norm"),
        )
        for shift in worst_shifts(weight, p["norm"])
    ]
    return reduced(torch.stack(rows).amax(0), r)


def normalised_scores(i: Inputs, p: Params) -> torch.Tensor:
    """The scores as the authors' code of the LDR losses hands them to the loss."""
    scores = i["logits"].double()
    if "softplus" in p["normalisation"]:
        scores = F.softplus(scores)
    return scores / scores.abs().mean(1, keepdim=True)


def ldr_kl_official_code(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.ldr_kl(
        normalised_scores(i, p),
        i["target"].long(),
        reduction=literal(r),
        **given(p, "normalisation"),
    )


def aldr_kl_official_code(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The code's loss in two calls: its lambda comes from the p of the lambda before."""
    scores, target = normalised_scores(i, p), i["target"].long()
    lam0, steepness = p["lam0"], p["alpha"] * math.log(scores.shape[1])
    lam = torch.full_like(scores[:, 0], lam0)
    values = []
    for _ in range(2):
        q = (scores / lam[:, None]).softmax(1) + p["p_smoothing"]
        q = q / q.sum(1, keepdim=True)
        lam = lam0 - lam0 / steepness * (q * (q * scores.shape[1]).log()).sum(1)
        rows = [
            losses.ldr_kl(scores[n], target[n], lam=float(lam[n]), margin=p["margin"])
            for n in range(len(target))
        ]
        penalty = steepness / (2 * lam0) * (lam - lam0).square()
        values.append(reduced(torch.stack(rows) - penalty, r))
    return torch.stack(values)


def ldr_kl_conditional_minimiser(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The scores of mean 0 with the least expected loss, by Newton's method."""
    q = i["p"].double()
    labels = torch.arange(len(q))

    def risk(scores: torch.Tensor) -> torch.Tensor:
        rows = losses.ldr_kl(scores.expand(len(q), -1), labels, reduction="none", **given(p))
        return (q * rows).sum()

    scores = torch.zeros_like(q)
    for _ in range(25):
        slope = torch.autograd.functional.jacobian(risk, scores)
        bend = torch.autograd.functional.hessian(risk, scores)
        scores = scores - torch.linalg.pinv(bend, hermitian=True) @ slope
    return scores - scores.mean()


def ensloss_step(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    output, target, z = leaf(i["output"]), i["target01"].double(), i["z_normal"].double()
    value = losses.ensloss(output, target, z, reduction=literal(r), **given(p))
    (slope,) = torch.autograd.grad(value.sum(), output)
    rows = len(output) if literal(r) == "mean" else 1
    derivative = rows * slope * (2 * target - 1)
    return {"value": value, "grad_output": slope, "loss_derivative": derivative}


def gaussian_nb_shared_var(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, y, test = i["x_train"].double(), i["y_train"].long(), i["x_test"].double()
    classifier = gaussian_naive_bayes(x, y, int(y.max()) + 1, floor=p["var_epsilon"])
    logits = classifier(test)
    priors = y.bincount().double() / len(y)
    centres = torch.stack([x[y == k].mean(0) for k in range(len(priors))])
    variance = (x - centres[y]).square().mean(0) + p["var_epsilon"]
    shared = (test.square() / variance + (2 * math.pi * variance).log()).sum(1, keepdim=True)
    return {"log_likelihood": logits - priors.log() - shared / 2, "predict": logits.argmax(1)}


def from_zero(params: Params) -> dict[str, Any]:
    """Step size and number of steps; all paths start at zero."""
    if any(params["theta0"]):
        raise ValueError(f"a path starts at zero, got theta0 = {params['theta0']}")
    return {"step_size": params["gamma"], "steps": params["steps"]}


def lr_gd_trajectory(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    a, y = i["a"].double(), i["y"].double()
    theta = lr_gd_perceptron(a, y, **from_zero(p))[1:]
    scores = F.pad((theta @ (a * y[:, None]).T).unsqueeze(-1), (1, 0))
    right = torch.ones(scores.shape[:-1], dtype=torch.int64)
    return {"theta": theta, "loss": losses.logistic(scores, right, reduction="none").mean(1)}


def until_separated(path: Callable[..., torch.Tensor], a: torch.Tensor, y: torch.Tensor) -> Any:
    """The path up to the first weights that have all points right."""
    for doublings in count(4):
        weights = path(a, y, steps=2**doublings)
        if (first := first_separation(weights, a, y)) is not None:
            return weights[: first + 1]


def path_of(method: str) -> Callable[..., torch.Tensor]:
    """The algorithm that a text such as "normalized gamma=10" means."""
    normalised = method.startswith("normalized")
    if "perceptron" in method:
        return lambda a, y, steps: batch_perceptron(a, y, steps=steps, normalized=normalised)
    step_size = float(re.search(r"gamma=(\S+)", method)[1])
    path = normalized_lr_gd if normalised else lr_gd_perceptron
    return lambda a, y, steps: path(a, y, step_size=step_size, steps=steps)


def iterations_to_separate_worst_case(i: Inputs, p: Params, r: str) -> list[int]:
    y = -torch.ones(p["n"], dtype=torch.float64)
    y[0] = 1
    a = torch.stack([y / 2, -torch.ones_like(y)], 1)
    return [len(until_separated(path_of(method), a, y)) - 1 for method in i["method"]]


def batch_perceptron_trajectory(i: Inputs, p: Params, r: str) -> dict[str, Any]:
    theta = until_separated(batch_perceptron, i["a"].double(), i["y"].double())
    return {"iterations": len(theta) - 1, "theta": theta}


def crossmax_reduced(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The k-th highest predictor, or the lower of the two in the middle, as torch's median."""
    logits = i["logits_BNC"].double()
    middle = "median" in p.get("reduce", "")
    return crossmax(logits, k=logits.shape[1] // 2 + 1 if middle else p["k"])


def hl_gauss_loss(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.hl_gauss(
        i["logits"].double(), i["y"].double(), reduction=literal(r), **given(p, "num_bins")
    )


def c51_target(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.c51_target(i["support"].double(), i["next_probs"].double(), **given(p))


def c51_projection(i: Inputs, p: Params, r: str) -> torch.Tensor:
    onto = torch.tensor(p["target_support"], dtype=torch.float64)
    return losses.c51_projection(i["supports"].double(), i["weights"].double(), onto)


def l2_svm(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return losses.l2_svm(
        i["output"].double(),
        i["target"].long(),
        C=p["C"],
        weight=i["weight"].double(),
        reduction=p["reduction_over_batch"],
    )


def gru_svm_prediction_rule(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    output = i["output"].double()
    return {"official_argmax_of_sign": output.sign().argmax(-1), "argmax": output.argmax(-1)}


CALLS: dict[str, Call] = {
    # T1 comp-sum losses
    "comp_sum": of_classes(losses.comp_sum),
    "comp_sum_grad_logits": gradient(of_classes(losses.comp_sum)),
    "comp_sum_transform": of_numbers(theory.comp_sum_transform, "beta"),
    "comp_sum_transform_exact_inf": of_numbers(theory.comp_sum_transform_exact_inf, "beta"),
    "mae_exact_inf": of_numbers(theory.comp_sum_transform_exact_inf, "beta"),
    "comp_sum_gamma": of_numbers(theory.comp_sum_gamma, "t"),
    "comp_sum_gamma_tilde": of_numbers(theory.comp_sum_gamma_tilde, "t"),
    "comp_sum_growth_coefficient": of_numbers(theory.comp_sum_growth_coefficient, "tau"),
    "comp_sum_conditional_min": over("tau", theory.comp_sum_conditional_min, "p"),
    "comp_sum_conditional_regret": over("tau", theory.comp_sum_conditional_regret, "p"),
    "minimizability_gap_constant_h": over("tau", theory.minimizability_gap_constant_h, "pi"),
    "hcons_bounded_ce_binary": of_numbers(theory.hcons_bounded_ce_binary, "t"),
    "adv_comp_sum_linear": adv_comp_sum_linear,
    # T2 LDR losses
    "ldr_kl": of_classes(losses.ldr_kl),
    "ldr_kl_official_code": ldr_kl_official_code,
    "ldr_kl_conditional_minimiser": ldr_kl_conditional_minimiser,
    "aldr_kl": of_classes(losses.aldr_kl),
    "aldr_kl_official_code": aldr_kl_official_code,
    # T3 EnsLoss
    "ensloss_step": ensloss_step,
    # T4 discriminative and generative classifiers
    "gaussian_nb_shared_var": gaussian_nb_shared_var,
    "nb_lr_bayes_error_K2": lambda i, p, r: [
        easy_gaussians(n).bayes_error for n in i["n"].tolist()
    ],
    # T5 from logistic regression to the perceptron
    "lr_gd_trajectory": lr_gd_trajectory,
    "normalized_lr_gd_trajectory": lambda i, p, r: {
        "theta": normalized_lr_gd(i["a"].double(), i["y"].double(), **from_zero(p))[1:]
    },
    "iterations_to_separate_worst_case": iterations_to_separate_worst_case,
    "batch_perceptron_trajectory": batch_perceptron_trajectory,
    # T9 Z-loss and the spherical family
    "spherical_z_loss": of_classes(losses.spherical_z_loss),
    "spherical_z_loss_grad_logits": gradient(of_classes(losses.spherical_z_loss)),
    "taylor_softmax_ce": of_classes(losses.taylor_softmax),
    "spherical_softmax_ce": of_classes(losses.spherical_softmax),
    # T12 CrossMax
    "crossmax": crossmax_reduced,
    # T13 value functions by classification
    "hl_gauss_target": of_numbers(losses.hl_gauss_target, "y"),
    "hl_gauss_loss": hl_gauss_loss,
    "two_hot_target": lambda i, p, r: losses.two_hot_target(
        i["y"].double().clamp(p["v_min"], p["v_max"]), **given(p)
    ),
    "c51_projection": c51_projection,
    "c51_target": c51_target,
    # T14 GRU and SVM
    "l2_svm": l2_svm,
    "l2_svm_none": lambda i, p, r: losses.l2_svm(
        i["output"].double(), i["target"].long(), C=1.0, reduction=literal(r)
    ),
    "gru_svm_prediction_rule": gru_svm_prediction_rule,
}
