"""Keys of the collapse part of the dynamics sheet, which centres on the mean of all rows."""

from __future__ import annotations

import torch

from lossviz.analysis import collapse, geometry
from lossviz.theory import cross_entropy_optimum, squared_error_optimum

from .adapters import Call, Inputs, Params

CENTRE = "samples"


def statistics(i: Inputs) -> collapse.ClassStatistics:
    return collapse.class_statistics(i["H"].double(), i["y"].long(), classes=int(i["y"].max()) + 1)


def of_statistics(function) -> Call:
    return lambda i, p, r: function(i["W"].double(), statistics(i))


def of_means(i: Inputs) -> collapse.ClassStatistics:
    means = i["class_means"].double()
    return collapse.ClassStatistics(torch.ones(len(means)).long(), means, means.new_zeros(1))


def general(function) -> Call:
    """With the squared lengths of the imbalanced theorem."""

    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        best = squared_error_optimum(
            p["n"], depth=p["depth"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"]
        )
        decay = sum(p["n"]) * p["lambda_H"]
        return function(i["W"].double(), of_means(i), best, decay)

    return call


def ufm_mse_optimum(i: Inputs, p: Params, r: str) -> dict[str, object]:
    best = squared_error_optimum(
        p["n"], depth=p["depth"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"]
    )
    names = ("b", "threshold", "x", "w_norm", "h_norm", "wh", "objective")
    return dict(zip(names, best, strict=True))


def ufm_mse_bias_optimum(i: Inputs, p: Params, r: str) -> dict[str, object]:
    """A free bias turns the orthogonal frame of equal classes into a simplex of the same length."""
    classes = p["K"]
    best = squared_error_optimum([p["n"]] * classes, lambda_w=p["lambda_W"], lambda_h=p["lambda_H"])
    square = best.weight_norm[0].square()
    centring = torch.eye(classes, dtype=torch.float64) - 1 / classes
    bias = torch.full((classes,), 1 / classes, dtype=torch.float64)
    return {"sigma_sq": square, "WWt": square * centring, "bias": bias}


def ufm_ce_optimum(i: Inputs, p: Params, r: str) -> dict[str, float]:
    best = cross_entropy_optimum(p["K"], p["n"], lambda_w=p["lambda_W"], lambda_h=p["lambda_H"])
    return dict(zip(("gamma", "w_norm", "h_norm", "loss"), best, strict=True))


def alpha_req(i: Inputs, p: Params, r: str) -> torch.Tensor:
    window = p["index_range_0based"]
    return geometry.power_law(i["eigen"].double(), ranks=(window[0] + 1, window[-1] + 1))


def rankme_cov(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x = i["features"].double()
    return {
        "rankme": geometry.covariance_rank(x, eps=p["eps"]),
        "eigen_ratio": geometry.spectrum(x),
    }


def dse(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return geometry.diffusion_entropy(i["X"].double(), sigma=p["sigma"], steps=p["t"])


def dse_row_stochastic(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    x, options = i["X"].double(), {"sigma": p["sigma"], "steps": p["t"]}
    return {
        "anisotropic_P": geometry.diffusion_entropy(x, normalised="anisotropic", **options),
        "official_K": geometry.diffusion_entropy(x, **options),
    }


def dsmi(i: Inputs, p: Params, r: str) -> torch.Tensor:
    return geometry.diffusion_information(
        i["X"].double(), i["y"].long(), sigma=p["sigma"], steps=p["t"],
        repeats=p["num_repetitions"], seed=p["random_seed"],
    )  # fmt: skip


CALLS: dict[str, Call] = {
    "nc1": of_statistics(lambda w, s: collapse.nc1(s, centre=CENTRE)),
    "nc2_etf_W": of_statistics(lambda w, s: collapse.nc2_of_weight(w)),
    "nc2_of_W": of_statistics(lambda w, s: collapse.nc2_of_weight(w, "orthogonal")),
    "nc2_etf_H": of_statistics(lambda w, s: collapse.nc2(s, centre=CENTRE)),
    "nc2_of_H": of_statistics(lambda w, s: collapse.nc2(s, "orthogonal")),
    "nc3_etf_WH": of_statistics(lambda w, s: collapse.nc3(w, s, centre=CENTRE)),
    "nc3_of_WH": of_statistics(lambda w, s: collapse.nc3(w, s, "orthogonal")),
    "nc3_W_minus_H": of_statistics(lambda w, s: collapse.nc3_distance(w, s, centre=None)),
    "nc3_W_minus_H_centered": of_statistics(
        lambda w, s: collapse.nc3_distance(w, s, centre=CENTRE)
    ),
    "nc2_gof_W": general(lambda w, s, best, _: collapse.nc2_of_weight(w, best.weight_norm**2)),
    "nc2_gof_H": general(lambda w, s, best, _: collapse.nc2(s, best.feature_norm**2)),
    "nc3_gof_WH": general(lambda w, s, best, _: collapse.nc3(w, s, best.product)),
    "nc3_gof_W_minus_H": general(
        lambda w, s, best, decay: collapse.nc3_distance(
            w, s, centre=None, scale=best.weight_norm**2 + decay
        )
    ),
    "ufm_mse_optimum": ufm_mse_optimum,
    "ufm_mse_bias_optimum": ufm_mse_bias_optimum,
    "ufm_ce_optimum": ufm_ce_optimum,
    "rankme_cov": rankme_cov,
    "rankme_sv": lambda i, p, r: geometry.rankme(i["features"].double(), eps=p["eps"]),
    "alpha_req": alpha_req,
    "dse": dse,
    "dse_row_stochastic": dse_row_stochastic,
    "dsmi": dsmi,
    "cse": lambda i, p, r: geometry.cell_entropy(i["X"].double(), bins=p["num_bins_per_dim"]),
}
