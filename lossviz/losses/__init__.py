"""Losses: each declared once, all listed here.

`LOSSES` maps a key to its declaration, in book order. From a declaration come the function
(`lossviz.losses.comp_sum`), the module (`lossviz.losses.CompSum`), the pages of the atlas, the
sliders of the figures and the tests. Targets of regression as classification are no losses but
functions: `two_hot_target`, `hl_gauss_target` and `c51_target`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from . import (
    adaptive,
    adversarial,
    binned,
    compsum,
    crossentropy,
    ensemble,
    members,
    relatives,
    robust,
    spherical,
    svm,
    symmetric,
    zloss,
)
from .adversarial import adv_comp_sum_at, trades_at, train_adv_comp_sum, train_trades
from .bins import c51_projection, c51_target, hl_gauss_target, two_hot_target
from .declaration import Limit, Loss, Parameter, Property, Source, SymbolicForm
from .modules import class_name

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cross_entropy": crossentropy.CROSS_ENTROPY,
        "comp_sum": compsum.COMP_SUM,
        "sum_exponential": members.SUM_EXPONENTIAL,
        "logistic": members.LOGISTIC,
        "generalized_cross_entropy": members.GENERALIZED_CROSS_ENTROPY,
        "mae": members.MAE,
        "focal": relatives.FOCAL,
        "poly_1": relatives.POLY_1,
        "symmetric_cross_entropy": symmetric.SYMMETRIC_CROSS_ENTROPY,
        "symmetric_ce": symmetric.SYMMETRIC_CE,
        "adv_comp_sum": adversarial.ADV_COMP_SUM,
        "ldr_kl": robust.LDR_KL,
        "aldr_kl": adaptive.ALDR_KL,
        "spherical_z_loss": zloss.SPHERICAL_Z_LOSS,
        "taylor_softmax": spherical.TAYLOR_SOFTMAX,
        "spherical_softmax": spherical.SPHERICAL_SOFTMAX,
        "two_hot": binned.TWO_HOT,
        "hl_gauss": binned.HL_GAUSS,
        "l2_svm": svm.L2_SVM,
        "ensloss": ensemble.ENSLOSS,
    }
)


def get(key: str) -> Loss:
    """The declaration of a loss by its registry key.

    Raises TypeError if `key` is no string, ValueError with the nearest keys if there is no such
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
    """Functions and modules by name, read off the declarations."""
    if name in LOSSES:
        return LOSSES[name].function
    if name in _MODULES:
        return LOSSES[_MODULES[name]].module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *LOSSES, *_MODULES])


__all__ = [
    "LOSSES",
    "Limit",
    "Loss",
    "Parameter",
    "Property",
    "Source",
    "SymbolicForm",
    "adv_comp_sum_at",
    "c51_projection",
    "c51_target",
    "get",
    "hl_gauss_target",
    "names",
    "trades_at",
    "train_adv_comp_sum",
    "train_trades",
    "two_hot_target",
]
