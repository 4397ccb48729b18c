"""Operators of torch with their arguments by name.

torch hands the arguments of an operator about as a tuple, and takes gradients as one. Here both
have names, those of the operator's function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch


def operator(
    fake: Callable[..., Any],
    *,
    keep: Callable[..., None] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Make a function the operator ``lossviz::<its name>``, which stays what it was if it is one.

    `fake` gives the shapes and dtypes of what the function returns; `keep` and `backward` are as in
    `torch.library.register_autograd`. Where this package is imported a second time (under the name
    of its folder, or after it was dropped from `sys.modules`), a second registration would free the
    operators that the first import goes on calling.
    """

    def register(body: Callable[..., Any]) -> Any:
        name = body.__name__
        if not hasattr(torch.ops.lossviz, name):
            made = torch.library.custom_op(f"lossviz::{name}", body, mutates_args=())
            made.register_fake(fake)
            if backward is not None:
                made.register_autograd(backward, setup_context=keep)
        return getattr(torch.ops.lossviz, name).default

    return register


def named(operator: Any, inputs: Sequence[Any]) -> SimpleNamespace:
    """The arguments of a call of an operator, by name."""
    return SimpleNamespace(**dict(zip(_names(operator), inputs, strict=True)))


def gradients(operator: Any, **of: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    """One gradient per argument of an operator, None where it is not named."""
    found = tuple(of.pop(name, None) for name in _names(operator))
    assert not of, f"no arguments of {operator}: {sorted(of)}"
    return found


@functools.cache
def _names(operator: Any) -> tuple[str, ...]:
    return tuple(argument.name for argument in operator._schema.arguments)
