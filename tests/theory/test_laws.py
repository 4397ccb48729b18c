"""A law is its form: to many digits, on its axis, at every end of its sliders."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

from lossviz.declaration import Fact, Law, Source, law, number
from lossviz.theory import LAWS, pinsker_error_bound, pn_leading_term

each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def settings(law):
    """The defaults, and the ends of every slider in every combination."""
    ends = itertools.product(*[p.slider[:2] for p in law.parameters])
    return [law.defaults, *(dict(zip(law.defaults, end, strict=True)) for end in ends)]


@each_law
def test_the_function_is_the_form(law):
    symbols = [law.axis.sympy, *(p.sympy for p in law.parameters)]
    exact = sp.lambdify(symbols, law.expression, modules="mpmath")
    for chosen in settings(law):
        values = law(law.grid(), **chosen)
        with mpmath.workdps(50):
            expected = [
                float(exact(mpmath.mpf(x), *map(mpmath.mpf, chosen.values())))
                for x in law.grid().tolist()
            ]
        expected = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(values, expected, rtol=1e-13, atol=1e-16)


@each_law
def test_every_fact_holds(law):
    assert law.facts
    for fact in law.facts:
        fact.verify(law)


@each_law
def test_the_result_is_of_the_kind_that_was_given(law):
    x = law.grid()[3].item()
    assert isinstance(law(x), float)
    assert isinstance(law([x, x]), np.ndarray)
    assert law(torch.tensor([x], dtype=torch.float32)).dtype == torch.float32
    assert torch.equal(law(law.grid()[None]), law(law.grid())[None])


@each_law
def test_numbers_out_of_range_are_refused(law):
    below = law.axis.low - 1
    with pytest.raises(ValueError, match=law.axis.name):
        law(below)
    with pytest.raises(TypeError, match=law.axis.name):
        law("three")
    assert law(torch.tensor([torch.nan])).isnan().all()
    with pytest.raises(TypeError, match="unexpected"):
        law(law.grid(), temperature=1.0)
    for parameter in law.parameters:
        with pytest.raises(TypeError, match=parameter.name):
            law(law.grid(), **{parameter.name: True})


@each_law
def test_the_help_names_everything(law):
    text = law.__doc__
    for word in (law.summary, law.latex, law.axis.name, law.value, law.source.key, *law.defaults):
        assert word in text
    assert law.key in repr(law)


def test_our_own_reading_cites_no_equation():
    n = number("n", "n", "[1, inf)", (1, 10, 1), "examples", "one", "many")
    fact = Fact("itself", lambda n: (n, n))
    made = {"family": "f", "latex": "n", "form": "n", "axis": n, "value": "n", "facts": (fact,)}

    def identity(n):
        """Identity: itself."""
        return n

    for where in ("eq. 3", "equation (7)", "theorem 2", "Lemma 1"):
        with pytest.raises(ValueError, match="own reading"):
            law(**made, source=Source("a", where), reading=True)(identity)
        assert isinstance(law(**made, source=Source("a", where))(identity), Law)
    assert law(**made, source=Source("a", "section 2"), reading=True)(identity).reading


def test_pinsker_and_the_leading_term_by_hand():
    assert pinsker_error_bound(0.02) == pytest.approx(0.45)
    assert pn_leading_term(250, p=10) == pytest.approx(0.02)
