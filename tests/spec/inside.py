"""Keys of the dynamics sheet on information and on the inside of networks."""

from __future__ import annotations

import math

import torch

from lossviz.analysis import attention, information
from lossviz.losses import attention_entropy

from .adapters import Call, Inputs, Params, leaf


def conditional_cs(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """The published code divides each row by its sum of squares and takes logarithms to base 2."""
    x, y, guess = (i[name].double() for name in ("x", "y", "y_hat"))

    def kernel(one, other):
        return (-(torch.cdist(one, other) / p["sigma"]).square() / 2).exp()

    k = kernel(x, x)

    def term(one, other):
        return ((k * kernel(one, other)).sum(-1) / k.square().sum(-1)).sum().log2()

    official = term(y, y) + term(guess, guess) - 2 * term(guess, y)
    ours = information.conditional_cauchy_schwarz(x, y, guess, sigma=p["sigma"])
    return {"official_code_bits": official, "density_ratio_form_nats": ours}


def attention_entropy_reg(i: Inputs, p: Params, r: str) -> torch.Tensor:
    """The published code sums over the sequences of the batch and averages over layers."""
    rows = attention_entropy(
        i["attention_layers"].double(), i["thresholds"].double(),
        margin=p["margin"], coefficient=p["loss_coeff"], reduction="none",
    )  # fmt: skip
    return rows.sum(1).mean()


def crrelu(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, eps = leaf(i["x"]), torch.tensor(p["epsilon"], dtype=torch.float64).expand(len(i["x"]))
    eps = eps.clone().requires_grad_()
    y = attention.crrelu(x, epsilon=eps)
    by_x, by_eps = torch.autograd.grad(y.sum(), (x, eps))
    return {"y": y.detach(), "dy_dx": by_x, "dy_deps": by_eps}


def greedy_mec(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = information.greedy_coupling(i["p"], i["q"])
    return {
        "entropy_bits": found.entropy_bits, "mutual_information_bits": found.information_bits
    }  # fmt: skip


def ebim_greedy(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    masses = information.greedy_bottleneck(i["p"], rate_bits=p["R_bits"])
    return {"mutual_information_bits": information.entropy_bits(masses), "masses": masses}


def qk_layernorm_logits(i: Inputs, p: Params, r: str) -> dict[str, object]:
    logits = attention.qk_layernorm_logits(i["q"], i["k"], eps=p["eps"], gain=p["gain"])
    return {"logits": logits, "bound": p["gain"] ** 2 * math.sqrt(i["q"].shape[1])}


def lssa(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = attention.softplus_attention(i["q"], i["k"], i["v"])
    return {"weights": found.weights, "output": found.output}


def lssar(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    first = attention.softplus_attention(i["q"], i["k"], i["v"])
    found = attention.reweighted_attention(first.weights, i["v"], power=p["p"], eps=p["eps"])
    return {"stage1": first.weights, "weights": found.weights, "output": found.output}


def softmax_attention_rnn(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    q, k, v = (i[name].double() for name in "qkv")
    output = attention.recurrent_attention(
        q, k, v, order=p["order"], normalise=p["normalise"]
    )  # fmt: skip
    scores = q @ k.mT / math.sqrt(q.shape[1])
    hidden = torch.ones_like(scores).triu(1).bool()
    whole = scores.masked_fill(hidden, -math.inf).softmax(-1) @ v
    return {"output": output, "softmax_output": whole}


def softmax_regression(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    found = attention.softmax_regression(i["A"], i["x"], i["b"])
    return dict(zip(("loss", "grad", "f"), found, strict=True))


CALLS: dict[str, Call] = {
    "attention_entropy_reg": attention_entropy_reg,
    "crrelu": crrelu,
    "greedy_mec": greedy_mec,
    "ebim_greedy": ebim_greedy,
    "cs_divergence": lambda i, p, r: information.cauchy_schwarz_divergence(
        i["X"], i["Y"], sigma=p["sigma"]
    ),
    "cs_qmi": lambda i, p, r: information.cauchy_schwarz_information_bits(
        i["x"], i["y"], sigma=p["sigma"]
    ),
    "conditional_cs": conditional_cs,
    "lr_sensitivity": lambda i, p, r: attention.learning_rate_sensitivity(
        i["final_losses"], initial=float(i["init_loss"]), best=float(i["best_loss"])
    ),
    "qk_layernorm_logits": qk_layernorm_logits,
    "pinball": lambda i, p, r: information.pinball(i["pred"], i["target"], i["tau"]),
    "mi_ksg": lambda i, p, r: information.neighbour_information(
        i["x"], i["y"], neighbours=p["k"], standardise=p["standardize"]
    ),
    "mi_cca": lambda i, p, r: information.canonical_information(i["x"], i["y"]),
    "mi_gaussian": lambda i, p, r: information.gaussian_information(float(i["rho"])),
    "lssa": lssa,
    "lssar": lssar,
    "softmax_attention_rnn": softmax_attention_rnn,
    "softmax_regression": softmax_regression,
}
