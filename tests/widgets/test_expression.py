"""A printed expression has the value of the sympy expression that it was made from."""

import json
import math

import pytest
import sympy as sp
import vl_convert

from lossviz.widgets.vega.expression import vega_expression

x, y, p = sp.symbols("x y p", real=True)
EXPRESSIONS = [
    x - (y - 1),
    x / (y * p),
    -(x**2),
    (-x) ** 2,
    x ** (y - 1),
    2 ** (-x),
    1 / (1 + x) ** 2,
    sp.sqrt(x) / 3,
    sp.Rational(2, 3) * x,
    sp.Rational(2, 3) ** y,
    sp.Float("0.1234567890123456789", 19) * x,
    sp.exp(-x) - sp.log(p) + sp.E * sp.pi,
    sp.Max(x, y, p) - sp.Min(x, 0),
    sp.Abs(x - 5) * sp.sign(y - 3),
    sp.diff(sp.Max(x, y), x),
    sp.diff(sp.Max(y, x), y),
    sp.Piecewise((x, sp.Eq(y, 2)), (1 / (y - 2), True)),
    3 * sp.Piecewise((x, y < 1), (y, sp.And(y > 1, x > 1)), (p, True)) - 1,
    sp.Piecewise((x, sp.Or(y < 1, sp.Ne(x, 1.5))), (p, True)) ** 2,
    sp.diff(sp.Piecewise((-sp.log(p), sp.Eq(y, 1)), ((1 - p ** (y - 1)) / (y - 1), True)), p),
]


def vega_value(expression: str, values: dict[str, float]) -> float:
    """Let Vega itself evaluate."""
    spec = {
        "signals": [{"name": name, "value": value} for name, value in values.items()],
        "marks": [
            {
                "type": "text",
                "encode": {"enter": {"text": {"signal": f"'' + ({expression})"}}},
            }
        ],
    }
    texts = [
        line
        for line in json.dumps(vl_convert.vega_to_scenegraph(spec), indent=0).splitlines()
        if line.startswith('"text": ')
    ]
    (text,) = texts
    return float(json.loads(text.removeprefix('"text": ').removesuffix(",")))


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("values", [(1.5, 2.0, 0.3), (1.5, 1.0, 0.9), (0.25, 3.5, 0.01)])
def test_vega_agrees_with_sympy(expression, values):
    at = dict(zip((x, y, p), values, strict=True))
    printed = vega_expression(expression, {symbol: symbol.name for symbol in at})
    value = vega_value(printed, {symbol.name: value for symbol, value in at.items()})
    assert math.isclose(value, float(expression.subs(at).evalf(30)), rel_tol=1e-13)


def test_symbols_are_written_as_told():
    assert vega_expression(x + 1, {x: "datum.first"}) == "datum.first + 1"


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        (sp.gamma(x), "gamma"),
        (sp.zeta(x) + 1, "zeta"),
        (sp.I * x, "ImaginaryUnit"),
        (sp.Integral(sp.exp(x**2), x), "Integral"),
    ],
)
def test_what_vega_lacks_is_named(expression, name):
    with pytest.raises(ValueError, match=name):
        vega_expression(expression, {x: "x"})


def test_a_symbol_without_name_is_named():
    with pytest.raises(ValueError, match="'y'"):
        vega_expression(x + y, {x: "x"})


def test_a_piecewise_without_last_word_is_refused():
    with pytest.raises(ValueError, match="unconditional"):
        vega_expression(sp.Piecewise((x, x > 0)), {x: "x"})
