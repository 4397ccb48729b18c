"""Print sympy expressions as Vega expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import sympy as sp
from sympy.printing.codeprinter import CodePrinter
from sympy.printing.precedence import PRECEDENCE

FUNCTIONS = {
    "Abs": "abs",
    "Max": "max",
    "Min": "min",
    "acos": "acos",
    "asin": "asin",
    "atan": "atan",
    "ceiling": "ceil",
    "cos": "cos",
    "exp": "exp",
    "floor": "floor",
    "log": "log",
    "sin": "sin",
    "tan": "tan",
}


def vega_expression(expression: sp.Expr, names: Mapping[sp.Symbol, str]) -> str:
    """The Vega expression with the value of `expression`; `names` says how to write each symbol.

    Raises ValueError, naming it, for a function or symbol without a Vega counterpart.
    """
    return _VegaPrinter(names).doprint(sp.sympify(expression))


class _VegaPrinter(CodePrinter):
    """The Vega dialect: ECMAScript operators, mathematical functions without a prefix."""

    _operators: ClassVar = {"and": "&&", "or": "||", "not": "!"}

    def __init__(self, names: Mapping[sp.Symbol, str]) -> None:
        super().__init__()
        self.known_functions = FUNCTIONS
        self.names = names

    def _format_code(self, lines: list[str]) -> list[str]:
        return lines

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        if expr not in self.names:
            raise ValueError(f"no Vega name for the symbol {expr.name!r}")
        return self.names[expr]

    def _print_Integer(self, expr: sp.Integer) -> str:
        return str(int(expr))

    def _print_Rational(self, expr: sp.Rational) -> str:
        return f"{expr.p}/{expr.q}"

    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))

    def _print_Infinity(self, expr: sp.Expr) -> str:
        return "Infinity"

    def _print_NegativeInfinity(self, expr: sp.Expr) -> str:
        return "-Infinity"

    def _print_NumberSymbol(self, expr: sp.Expr) -> str:
        return repr(float(expr))

    def _print_Pow(self, expr: sp.Pow) -> str:
        if expr.exp == -1:
            return f"1/{self.parenthesize(expr.base, PRECEDENCE['Pow'])}"
        if expr.exp == sp.Rational(1, 2):
            return f"sqrt({self._print(expr.base)})"
        return f"pow({self._print(expr.base)}, {self._print(expr.exp)})"

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        if expr.args[-1].cond != sp.true:
            raise ValueError(f"the last case of a Piecewise must be unconditional, got {expr}")
        *cases, last = expr.args
        text = f"({self._print(last.expr)})"
        for case in reversed(cases):
            text = f"(({self._print(case.cond)}) ? ({self._print(case.expr)}) : {text})"
        return text

    def _print_Relational(self, expr: Any) -> str:
        left, right = (self.parenthesize(side, PRECEDENCE["Relational"]) for side in expr.args)
        return f"{left} {expr.rel_op} {right}"

    def _print_sign(self, expr: sp.Expr) -> str:
        inside = self._print(expr.args[0])
        return f"(({inside} > 0) - ({inside} < 0))"

    def _print_Heaviside(self, expr: sp.Expr) -> str:
        inside = self._print(expr.args[0])
        return f"(({inside}) > 0 ? 1 : ({inside}) < 0 ? 0 : 1/2)"

    def _print_not_supported(self, expr: Any) -> str:
        raise ValueError(f"{type(expr).__name__} has no counterpart in Vega: {expr}")

    emptyPrinter = _print_not_supported
    _print_ComplexInfinity = _print_ImaginaryUnit = _print_NaN = _print_not_supported
    _print_Derivative = _print_Integral = _print_not_supported
