"""Losses: each declared once, all listed here, in folders by what they take.

`LOSSES` maps a key to its declaration, in book order. From a declaration come the function
(`lossviz.losses.comp_sum`), the module (`lossviz.losses.CompSum`), the pages of the atlas, the
sliders of the figures and the tests. Targets of regression as classification are not losses but
functions: `two_hot_target`, `hl_gauss_target` and `c51_target`; so are `normalise_scores` and
`adapted_temperature` of the robust losses, and `noise_scale` and `noisefit_hybrid_v2` of
fine-tuning with noise, `corn_probabilities` of conditional thresholds, `clamped_entropy` and
`adapted_coefficient` of entropy bonuses, and `naive_bayes_propensities` and `gaussian_kernel` of
labels that are missing. Of masks there are `skeletonise` and `tubed_skeleton`, the score
`cldice_score`, distances of sets of masks (`energy_distance`, `sinkhorn_divergence`,
`frechet_distance`), `betti_matching` of two images and the terms of `repri`; of two language models
`logit_difference`.
"""

from __future__ import annotations

from typing import Any

from ..declaration import (
    Argument,
    Fact,
    Gradient,
    Inputs,
    Loss,
    Parameter,
    Source,
    SymbolicForm,
    declaration_of,
    declare,
    number,
)
from ..declaration.module import class_name
from ..declaration.registry import Registry
from .attacked import adv_comp_sum_at, trades_at, train_adv_comp_sum, train_trades
from .embeddings.angular import arcface, normalized_softmax
from .embeddings.contrastive import nt_xent
from .embeddings.neighbours import icnn
from .embeddings.prototypes import opl, proto_triplet
from .logits.adaptive import adapted_temperature, aldr_kl
from .logits.adversarial import adv_comp_sum
from .logits.background import bacs_weighted_ce
from .logits.binned import hl_gauss, two_hot
from .logits.bins import c51_projection, c51_target, decode, hl_gauss_target, two_hot_target
from .logits.compsum import comp_sum, generalized_cross_entropy, logistic, mae, sum_exponential
from .logits.confidence import ca_loss, z_loss
from .logits.crossentropy import cross_entropy
from .logits.distillation import pld
from .logits.earthmover import emo
from .logits.ensemble import draw_lam, ensloss, loss_derivatives
from .logits.imbalance import balanced_softmax_ce
from .logits.matching import binary_kl, binary_kl_norm, dual_head, tempered_kl
from .logits.noise import noise_scale, noisefit_hybrid, noisefit_hybrid_v2
from .logits.ordinal import corn, corn_probabilities, ordinal_cross_entropy
from .logits.relatives import focal, poly_1
from .logits.robust import ldr_kl, normalise_scores
from .logits.scores import brier, entropy_bonus, renyi_2_bonus, spherical_score, unlikelihood
from .logits.spherical import spherical_softmax, spherical_z_loss, taylor_softmax
from .logits.svm import l2_svm
from .logits.symmetric import symmetric_ce, symmetric_cross_entropy
from .logits.towers import tri_bce
from .masks.betti import BettiMatching, betti_matching
from .masks.clouds import energy_distance, frechet_distance, sinkhorn_divergence
from .masks.counts import anyloss
from .masks.overlap import dice, dsc_elementwise, focal_tversky, tversky_elementwise
from .masks.propensity import gaussian_kernel, ips_weighted_bce, naive_bayes_propensities
from .masks.skeletons import skeleton_recall, soft_cldice, soft_skeleton
from .masks.thinning import cldice_score, skeletonise, tubed_skeleton
from .masks.transduction import TransductiveTerms, repri
from .scores.multilabel import decoupled_softmax
from .scores.pairs import mw_loss, pa_bce
from .scores.top import soft_topk
from .tokens.costly import clip_cov, kl_cov
from .tokens.coverage import dco
from .tokens.edits import eisl
from .tokens.entropies import adapted_coefficient, clamped_entropy
from .tokens.forgetting import Subtracted, ihl, logit_difference, npo
from .tokens.preference import dpo
from .tokens.reference import alpha_divergence, jensen_shannon_term
from .tokens.surrogates import clipped_surrogate, signed_reinforcement
from .values.attention import attention_entropy
from .values.bags import interpolating_bag_loss
from .values.balanced import bmc_loss, gai_loss
from .values.gaussian import gaussian_nll

LOSSES = Registry(
    "loss",
    *map(
        declaration_of,
        (
            cross_entropy,
            comp_sum,
            sum_exponential,
            logistic,
            generalized_cross_entropy,
            mae,
            focal,
            poly_1,
            symmetric_cross_entropy,
            symmetric_ce,
            unlikelihood,
            entropy_bonus,
            renyi_2_bonus,
            brier,
            spherical_score,
            emo,
            ca_loss,
            z_loss,
            attention_entropy,
            adv_comp_sum,
            ldr_kl,
            aldr_kl,
            spherical_z_loss,
            taylor_softmax,
            spherical_softmax,
            two_hot,
            hl_gauss,
            l2_svm,
            ensloss,
            balanced_softmax_ce,
            ordinal_cross_entropy,
            corn,
            bacs_weighted_ce,
            tri_bce,
            pld,
            tempered_kl,
            binary_kl,
            binary_kl_norm,
            dual_head,
            noisefit_hybrid,
            nt_xent,
            arcface,
            normalized_softmax,
            proto_triplet,
            opl,
            icnn,
            decoupled_softmax,
            soft_topk,
            mw_loss,
            pa_bce,
            eisl,
            dpo,
            npo,
            ihl,
            dco,
            clipped_surrogate,
            signed_reinforcement,
            clip_cov,
            kl_cov,
            alpha_divergence,
            jensen_shannon_term,
            gaussian_nll,
            bmc_loss,
            gai_loss,
            interpolating_bag_loss,
            ips_weighted_bce,
            anyloss,
            dice,
            dsc_elementwise,
            tversky_elementwise,
            focal_tversky,
            soft_cldice,
            skeleton_recall,
        ),
    ),
)


def get(key: str) -> Loss:
    """The declaration of a loss by its registry key; raises as `Registry.find` does."""
    return LOSSES.find(key)


def names(family: str | None = None) -> tuple[str, ...]:
    """The registry keys in book order, of one family or of all; raises as `Registry.names` does."""
    return LOSSES.names(family)


_MODULES = {class_name(key): key for key in LOSSES}


def __getattr__(name: str) -> Any:
    """Modules by name, made from the declarations."""
    if name in _MODULES:
        return LOSSES[_MODULES[name]].module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])


__all__ = [
    "LOSSES",
    "Argument",
    "BettiMatching",
    "Fact",
    "Gradient",
    "Inputs",
    "Loss",
    "Parameter",
    "Source",
    "Subtracted",
    "SymbolicForm",
    "TransductiveTerms",
    "adapted_coefficient",
    "adapted_temperature",
    "adv_comp_sum",
    "adv_comp_sum_at",
    "aldr_kl",
    "alpha_divergence",
    "anyloss",
    "arcface",
    "attention_entropy",
    "bacs_weighted_ce",
    "balanced_softmax_ce",
    "betti_matching",
    "binary_kl",
    "binary_kl_norm",
    "bmc_loss",
    "brier",
    "c51_projection",
    "c51_target",
    "ca_loss",
    "clamped_entropy",
    "cldice_score",
    "clip_cov",
    "clipped_surrogate",
    "comp_sum",
    "corn",
    "corn_probabilities",
    "cross_entropy",
    "dco",
    "declare",
    "decode",
    "decoupled_softmax",
    "dice",
    "dpo",
    "draw_lam",
    "dsc_elementwise",
    "dual_head",
    "eisl",
    "emo",
    "energy_distance",
    "ensloss",
    "entropy_bonus",
    "focal",
    "focal_tversky",
    "frechet_distance",
    "gai_loss",
    "gaussian_kernel",
    "gaussian_nll",
    "generalized_cross_entropy",
    "get",
    "hl_gauss",
    "hl_gauss_target",
    "icnn",
    "ihl",
    "interpolating_bag_loss",
    "ips_weighted_bce",
    "jensen_shannon_term",
    "kl_cov",
    "l2_svm",
    "ldr_kl",
    "logistic",
    "logit_difference",
    "loss_derivatives",
    "mae",
    "mw_loss",
    "naive_bayes_propensities",
    "names",
    "noise_scale",
    "noisefit_hybrid",
    "noisefit_hybrid_v2",
    "normalise_scores",
    "normalized_softmax",
    "npo",
    "nt_xent",
    "number",
    "opl",
    "ordinal_cross_entropy",
    "pa_bce",
    "pld",
    "poly_1",
    "proto_triplet",
    "renyi_2_bonus",
    "repri",
    "signed_reinforcement",
    "sinkhorn_divergence",
    "skeleton_recall",
    "skeletonise",
    "soft_cldice",
    "soft_skeleton",
    "soft_topk",
    "spherical_score",
    "spherical_softmax",
    "spherical_z_loss",
    "sum_exponential",
    "symmetric_ce",
    "symmetric_cross_entropy",
    "taylor_softmax",
    "tempered_kl",
    "trades_at",
    "train_adv_comp_sum",
    "train_trades",
    "tri_bce",
    "tubed_skeleton",
    "tversky_elementwise",
    "two_hot",
    "two_hot_target",
    "unlikelihood",
    "z_loss",
]
