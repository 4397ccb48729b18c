"""Losses: each declared once, all listed here, in folders by what they take.

`LOSSES` maps a key to its declaration, in book order. From a declaration come the function
(`lossviz.losses.comp_sum`), the module (`lossviz.losses.CompSum`), the pages of the atlas, the
sliders of the figures and the tests. Targets of regression as classification are not losses but
functions: `two_hot_target`, `hl_gauss_target` and `c51_target`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
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
from .embeddings.angular import arcface
from .embeddings.contrastive import nt_xent
from .logits.compsum import comp_sum, generalized_cross_entropy, logistic, mae, sum_exponential
from .logits.crossentropy import cross_entropy
from .logits.distillation import pld
from .logits.imbalance import balanced_softmax_ce
from .logits.ordinal import ordinal_cross_entropy
from .logits.relatives import focal, poly_1
from .masks.overlap import dice, dsc_elementwise, tversky_elementwise
from .masks.skeletons import soft_cldice, soft_skeleton
from .scores.multilabel import decoupled_softmax
from .tokens.edits import eisl
from .tokens.preference import dpo
from .values.gaussian import gaussian_nll

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        declaration_of(function).key: declaration_of(function)
        for function in (
            cross_entropy,
            comp_sum,
            sum_exponential,
            logistic,
            generalized_cross_entropy,
            mae,
            focal,
            poly_1,
            balanced_softmax_ce,
            ordinal_cross_entropy,
            pld,
            nt_xent,
            arcface,
            decoupled_softmax,
            eisl,
            dpo,
            gaussian_nll,
            dice,
            dsc_elementwise,
            tversky_elementwise,
            soft_cldice,
        )
    }
)


def get(key: str) -> Loss:
    """The declaration of a loss by its registry key.

    Raises TypeError if `key` is not a string, ValueError with the nearest keys if there is no such
    loss.
    """
    if not isinstance(key, str):
        raise TypeError(f"key must be a string, got {type(key).__name__}")
    if key in LOSSES:
        return LOSSES[key]
    titles = {loss.title.lower(): name for name, loss in LOSSES.items()}
    wanted = key.lower().replace("-", "_")
    initials = ["".join(word[0] for word in name.split("_")) for name in LOSSES]
    near = [name for name, letters in zip(LOSSES, initials, strict=True) if letters == wanted]
    near += difflib.get_close_matches(wanted, LOSSES, cutoff=0.4)
    near += [titles[t] for t in difflib.get_close_matches(key.lower(), titles, cutoff=0.6)]
    nearest = list(dict.fromkeys(near)) or list(LOSSES)
    raise ValueError(f"no loss {key!r}; did you mean one of {nearest}?")


def names(family: str | None = None) -> tuple[str, ...]:
    """The registry keys in book order, of one family or of all.

    Raises ValueError for an unknown family.
    """
    families = dict.fromkeys(loss.family for loss in LOSSES.values())
    if family is not None and (not isinstance(family, str) or family not in families):
        raise ValueError(f"family must be one of {tuple(families)}, got {family!r}")
    return tuple(key for key, loss in LOSSES.items() if family in (None, loss.family))


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
    "Fact",
    "Gradient",
    "Inputs",
    "Loss",
    "Parameter",
    "Source",
    "SymbolicForm",
    "arcface",
    "balanced_softmax_ce",
    "comp_sum",
    "cross_entropy",
    "declare",
    "decoupled_softmax",
    "dice",
    "dpo",
    "dsc_elementwise",
    "eisl",
    "focal",
    "gaussian_nll",
    "generalized_cross_entropy",
    "get",
    "logistic",
    "mae",
    "names",
    "nt_xent",
    "number",
    "ordinal_cross_entropy",
    "pld",
    "poly_1",
    "soft_cldice",
    "soft_skeleton",
    "sum_exponential",
    "tversky_elementwise",
]
