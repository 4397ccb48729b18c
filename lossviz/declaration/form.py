"""The meaning of a loss of class logits: sympy expressions of its value and of its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .parameter import Parameter

if TYPE_CHECKING:
    import sympy as sp


@dataclass(frozen=True)
class SymbolicForm:
    """The meaning of a loss of class logits, as a sympy expression.

    `value(arguments, target)` receives K expressions and the index of the target class, and returns
    the loss of one example in nats. The arguments are softmax probabilities, or the logits
    themselves when `over` is "logits": for losses that are not a function of the softmax, or
    simpler without it. Parameters appear as the symbols `Parameter.sympy`.
    """

    value: Callable[[Sequence[sp.Expr], int], sp.Expr]
    over: Literal["probabilities", "logits"] = "probabilities"

    def of_probabilities(self, probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
        """The loss of one example whose softmax probabilities are given.

        Probabilities fix the logits up to a constant. It is chosen such that the logits sum to
        zero, which matters only to a loss that sees a constant added to all of them.
        """
        if self.over == "probabilities":
            return self.value(probabilities, target)
        import sympy as sp

        logs = [sp.log(probability) for probability in probabilities]
        mean = sp.Add(*logs) / len(logs)
        return self.value([log - mean for log in logs], target)

    def of_logits(self, logits: Sequence[sp.Expr], target: int) -> sp.Expr:
        """The loss of one example whose logits are given."""
        if self.over == "logits":
            return self.value(logits, target)
        import sympy as sp

        weights = [sp.exp(logit) for logit in logits]
        total = sp.Add(*weights)
        return self.value([weight / total for weight in weights], target)

    def along_target_probability(self, probability: sp.Expr, num_classes: int) -> sp.Expr:
        """The loss when the other classes share what the target leaves equally."""
        other = (1 - probability) / (num_classes - 1)
        return self.of_probabilities([probability] + [other] * (num_classes - 1), 0)


@dataclass(frozen=True)
class TargetForm(SymbolicForm):
    """The form of a loss of the target probability p alone, written as text in p."""

    text: str = ""
    parameters: tuple[Parameter, ...] = ()

    @property
    def expression(self) -> sp.Expr:
        """The loss in the symbol `p`."""
        return parse(self.text, self.parameters)

    @property
    def slope(self) -> sp.Expr:
        """Minus p times the derivative in p: what multiplies (p - e_y) in the gradient."""
        import sympy as sp

        p = target_probability()
        return sp.simplify(-p * sp.diff(self.expression, p))


def target_form(text: str, parameters: tuple[Parameter, ...] = ()) -> TargetForm:
    """The form ``text`` in the target probability ``p`` and the names of the parameters."""

    def value(probabilities: Sequence[sp.Expr], target: int) -> sp.Expr:
        expression = parse(text, parameters)
        return expression.subs(target_probability(), probabilities[target])

    return TargetForm(value, text=text, parameters=parameters)


def target_probability() -> sp.Symbol:
    """The symbol p of a `TargetForm`."""
    import sympy as sp

    return sp.Symbol("p", positive=True)


def parse(text: str, parameters: Iterable[Parameter], others: Iterable[sp.Symbol] = ()) -> sp.Expr:
    """Read a formula in p, in the names of parameters and in further symbols.

    Raises ValueError, naming it, for a symbol that is none of these.
    """
    import sympy as sp

    known = {"p": target_probability(), **{p.name: p.sympy for p in parameters}}
    known |= {symbol.name: symbol for symbol in others}
    expression = sp.sympify(text, locals=known)
    unknown = sorted(s.name for s in expression.free_symbols - set(known.values()))
    if unknown:
        raise ValueError(f"{text!r} has the unknown symbols {unknown}, expected {sorted(known)}")
    return expression
