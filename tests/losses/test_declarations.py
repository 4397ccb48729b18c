"""A declaration says what is true of its function, and what the pages need is there."""

from __future__ import annotations

import inspect
import re

import mpmath
import pytest
import sympy as sp
import torch
import torch.nn.functional as F

from lossviz import losses
from lossviz.declaration.form import target_probability
from lossviz.declaration.inputs import BATCH
from lossviz.losses import LOSSES

from .examples import (
    ALL,
    OF_LOGITS,
    arguments,
    each_loss,
    gradients,
    learnt,
    make,
    parametrize,
    row_axis,
    row_losses,
    settings,
)


@each_loss
def test_one_name_serves_function_key_and_module(loss):
    key = loss.key
    assert LOSSES[key] is losses.get(key) is loss
    assert loss.function.__name__ == key
    assert getattr(losses, key) is loss.function
    assert getattr(losses, loss.module.__name__) is loss.module
    assert loss.module.__name__.lower() == key.replace("_", "")
    assert {key, loss.module.__name__} <= set(dir(losses))


def test_names_are_the_keys_in_order_and_split_by_family():
    assert losses.names() == tuple(LOSSES)
    families = dict.fromkeys(loss.family for loss in LOSSES.values())
    assert sorted(key for f in families for key in losses.names(f)) == sorted(LOSSES)


@each_loss
def test_the_signature_is_the_arguments_then_the_options_by_name(loss):
    """Declared parameters with their defaults, and the keywords that follow from the inputs."""
    parameters = loss.signature.parameters
    by_place = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    given = loss.inputs.arguments
    assert by_place == [a.name for a in given if a.positional]
    assert all(parameters[a.name].default is None for a in given if a.optional)
    assert loss.defaults.items() <= by_name.items()
    assert ("ignore_index" in by_name) == loss.inputs.ignorable
    assert ("reduction" in by_name) == bool(loss.inputs.rows)
    assert by_name.get("ignore_index", -100) == -100
    assert by_name.get("reduction", "mean") == "mean"


@each_loss
def test_the_docstring_has_every_parameter_with_its_shape_or_its_range(loss):
    words = inspect.getdoc(loss.function)
    listed = dict(re.findall(r"^(\w+) : (.*)$", words, flags=re.MULTILINE))
    assert set(listed) == set(loss.signature.parameters)
    notes = words.partition("\nNotes\n")[2]
    for name, line in listed.items():
        assert "see the notes" not in line or re.search(rf"\b{name}\b", notes), name
    for argument in loss.inputs.arguments:
        assert argument.written in listed[argument.name]
        assert argument.kind.noun in listed[argument.name]
    for parameter in loss.parameters:
        assert parameter.interval in listed[parameter.name]
        assert f"default {parameter.default:g}" in listed[parameter.name]
    for heading in ("Parameters", "Returns", "Raises", "Notes"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in words
    assert words.startswith(f"{loss.title}: ")
    assert loss.source.key in words


@pytest.mark.parametrize(
    "parameter",
    [pytest.param(p, id=f"{loss.key}-{p.name}") for loss in ALL for p in loss.parameters],
)
def test_the_slider_stays_in_the_range_and_reaches_the_default(parameter):
    start, stop, step = parameter.slider
    for value in (start, stop, parameter.default):
        assert parameter.check(value) == value
    steps = (parameter.default - start) / step
    assert start <= parameter.default <= stop
    assert steps == pytest.approx(round(steps), abs=1e-9)
    assert (stop - start) / step == pytest.approx(round((stop - start) / step), abs=1e-9)
    assert parameter.sympy.name == parameter.name


@each_loss
def test_every_text_that_a_page_shows_is_there(loss):
    assert all(text.strip() for text in (loss.title, loss.summary, loss.latex))
    assert all(text.endswith(".") for text in (loss.summary, loss.use, loss.avoid))
    assert loss.also
    assert all(source.key for source in loss.sources)
    assert all(p.meaning and p.at_low and p.at_high and p.symbol for p in loss.parameters)
    assert {fact.status for fact in loss.facts} <= {"proved", "quoted", "measured"}
    assert any(fact.check is not None for fact in loss.facts)
    assert set(loss.related) <= set(LOSSES) - {loss.key}


@parametrize(
    [loss for loss in ALL if loss in OF_LOGITS and loss.inputs.rows == (BATCH,)]
    + [loss for loss in ALL if not loss.has("derivative", loss.defaults)]
)
def test_rows_of_logits_have_a_gradient_and_a_word_on_stability(loss):
    """As does a loss whose gradient is not the derivative of its value."""
    assert loss.gradient.strip()
    assert loss.stability.strip()


@each_loss
def test_a_declaration_shows_itself_in_a_notebook(loss):
    assert loss.key in repr(loss)
    shown = loss._repr_markdown_()
    for text in (loss.title, loss.latex, loss.source.key, *loss.defaults):
        assert text in shown


@pytest.mark.parametrize(
    ("loss", "fact"),
    [
        pytest.param(loss, fact, id=f"{loss.key}: {fact.statement}")
        for loss in ALL
        for fact in loss.facts
        if fact.checked
    ],
)
def test_what_is_said_of_a_loss_is_true(loss, fact):
    fact.verify(loss)


def stated_gradient(loss, tensors, parameters):
    """The gradient that the page shows, in the first learnt argument."""
    if loss.derivative is not None:
        return loss.derivative.compute(*tensors, **parameters)
    logits, labels = tensors
    symbols = [target_probability(), *(p.sympy for p in loss.parameters)]
    slope = sp.lambdify(symbols, loss.target_slope, modules="mpmath")
    p = logits.softmax(-1)
    of_target = p.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    factors = [float(slope(mpmath.mpf(x), *parameters.values())) for x in of_target.tolist()]
    return torch.tensor(factors).double()[:, None] * (p - F.one_hot(labels, p.shape[-1]))


@parametrize([loss for loss in ALL if loss.gradient], settings)
def test_the_gradient_on_the_page_is_that_of_autograd(loss, parameters):
    tensors = make(loss, 6)
    stated = stated_gradient(loss, tensors, parameters)
    found = gradients(loss, tensors, **parameters)[0]
    assert parameters != loss.defaults or found.abs().max() > 0
    torch.testing.assert_close(stated, found, rtol=1e-7, atol=1e-9 * float(found.abs().max()))


@parametrize([loss for loss in ALL if loss.has("derivative", loss.defaults)])
def test_descending_the_gradient_lowers_the_loss(loss):
    tensors = make(loss, 50)
    moved = list(tensors)
    for i, slope in zip(learnt(loss), gradients(loss, tensors), strict=True):
        x = tensors[i] - 1e-4 * slope / slope.abs().max().clamp_min(1.0)
        outside = arguments(loss)[i].kind.outside
        moved[i] = x if outside is None else torch.where(outside(x, {}), tensors[i], x)
    before, after = row_losses(loss, tensors), row_losses(loss, tuple(moved))
    shared = any(row_axis(loss, argument) is None for argument in arguments(loss))
    if shared or loss.inputs.coupled:
        before, after = before.sum(), after.sum()
    assert (after <= before).all()
    assert after.sum() < before.sum()
