"""A declaration says what is true of its function, and what the pages need is there."""

from __future__ import annotations

import inspect

import pytest
import torch

from lossviz import losses
from lossviz.losses import LOSSES

from .examples import KINDS, each_loss, gradients, make, on_logits, settings


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
def test_declared_parameters_are_the_keywords_with_their_defaults(loss):
    keywords = {
        name: parameter.default
        for name, parameter in loss.signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert loss.defaults.items() <= keywords.items()
    undeclared = set(keywords) - set(loss.defaults)
    assert undeclared <= {"weight", "ignore_index", "reduction", "sigma"}


@pytest.mark.parametrize(
    "parameter",
    [pytest.param(p, id=f"{k}-{p.name}") for k, loss in LOSSES.items() for p in loss.parameters],
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
    for text in (loss.title, loss.summary, loss.latex, loss.gradient, loss.stability):
        assert text.strip()
    assert loss.summary.endswith(".")
    assert all(source.key for source in loss.sources)
    assert all(p.meaning and p.at_low and p.at_high and p.symbol for p in loss.parameters)
    assert {p.status for p in loss.properties} <= {"proved", "quoted", "measured"}
    assert loss.inputs in KINDS
    assert loss.limits
    assert set(loss.related) <= set(LOSSES) - {loss.key}
    assert inspect.getdoc(loss.function)


@each_loss
def test_a_declaration_shows_itself_in_a_notebook(loss):
    assert loss.key in repr(loss)
    shown = loss._repr_markdown_()
    for text in (loss.title, loss.latex, loss.source.key, *loss.defaults):
        assert text in shown


def declared(name):
    """The losses whose declaration states a property of this name."""
    found = [loss for loss in LOSSES.values() if any(p.name == name for p in loss.properties)]
    return pytest.mark.parametrize("loss", found, ids=lambda loss: loss.key)


def statement(loss, name):
    return next(p.statement for p in loss.properties if p.name == name)


def is_convex(loss, **parameters):
    """No violation at the middle of 2000 random segments between rows of logits."""
    one, target = make(loss, (2000,), scale=4.0, seed=1)
    other, _ = make(loss, (2000,), scale=4.0, seed=2)
    ends = [loss(x, target, **parameters, reduction="none") for x in (one, other)]
    middle = loss((one + other) / 2, target, **parameters, reduction="none")
    return bool((middle <= (ends[0] + ends[1]) / 2 * (1 + 1e-12)).all())


@declared("convex in the logits")
def test_declared_convexity(loss):
    if "tau" not in loss.defaults:
        assert is_convex(loss)
        return
    assert all(is_convex(loss, tau=tau) for tau in (0.0, 0.3, 0.7, 1.0))
    assert not any(is_convex(loss, tau=tau) for tau in (1.2, 1.5, 2.0, 3.0))


@declared("bounded")
def test_declared_bounds(loss):
    """Where a bound is declared it holds and is approached; where not, the loss grows past it."""
    bounds = {
        "comp_sum": lambda s: 1 / (s["tau"] - 1) if s["tau"] > 1 + 1e-6 else None,
        "generalized_cross_entropy": lambda s: 1 / s["q"] if s["q"] > 1e-6 else None,
        "mae": lambda s: 1.0,
    }
    unbounded = statement(loss, "bounded").startswith("Unbounded")
    assert unbounded == (loss.key not in bounds)
    inputs = on_logits(lambda logits: 100 * logits, make(loss, (200,)))
    for parameters in settings(loss):
        rows = loss(*inputs, **parameters, reduction="none")
        assert (rows >= 0).all()
        bound = None if unbounded else bounds[loss.key](parameters)
        if bound is not None:
            assert rows.max() <= bound * (1 + 1e-12)
            assert rows.max() > 0.99 * bound
        elif loss.defaults == parameters:
            assert rows.max() > 50


@pytest.mark.parametrize(("key", "name"), [("comp_sum", "tau"), ("focal", "gamma")])
def test_declared_monotonicity_in_the_parameter(key, name):
    assert statement(LOSSES[key], f"monotone in {name}")
    inputs = make(LOSSES[key], (500,))
    start, stop, step = LOSSES[key].parameters[0].slider
    grid = torch.arange(start, stop, step).tolist()
    values = torch.stack([LOSSES[key](*inputs, **{name: v}, reduction="none") for v in grid])
    assert (values.diff(dim=0) <= 0).all()


@pytest.mark.parametrize("classes", [2, 3, 10])
@declared("symmetric")
def test_declared_symmetry(loss, classes):
    logits, _ = make(loss, (50,), classes=classes, scale=5.0)
    total = sum(loss(logits, torch.full((50,), k), reduction="none") for k in range(classes))
    torch.testing.assert_close(total, torch.full((50,), classes - 1.0).double())


@pytest.mark.parametrize("q", [0.1, 0.5, 0.7, 1.0])
def test_declared_range_of_the_sum_over_labels_of_generalised_cross_entropy(q):
    loss = LOSSES["generalized_cross_entropy"]
    logits, _ = make(loss, (500,), classes=6, scale=5.0)
    logits[0] = 0.0
    total = sum(loss(logits, torch.full((500,), k), q=q, reduction="none") for k in range(6))
    low, high = (6 - 6 ** (1 - q)) / q, 5 / q
    assert (total >= low - 1e-12).all()
    assert (total <= high + 1e-12).all()
    assert total[0].item() == pytest.approx(low)


def minimiser(loss, label_distribution, **parameters):
    """Probabilities at which the expected loss is least, found by Newton's method on the logits."""
    classes = len(label_distribution)
    labels = torch.arange(classes)

    def expected(logits):
        rows = loss(logits.expand(classes, classes), labels, **parameters, reduction="none")
        return (label_distribution * rows).sum()

    logits = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logits],
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        value = expected(logits)
        value.backward()
        return value

    optimiser.step(closure)
    return logits.detach().softmax(-1)


Q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.3, 1.6])
def test_declared_minimiser_of_the_expected_comp_sum_loss(tau):
    power = Q ** (1 / (2 - tau))
    found = minimiser(LOSSES["comp_sum"], Q, tau=tau)
    torch.testing.assert_close(found, power / power.sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("key", ["cross_entropy", "logistic"])
def test_strictly_proper_losses_are_least_at_the_label_distribution(key):
    assert "strictly proper" in {p.name for p in LOSSES[key].properties}
    torch.testing.assert_close(minimiser(LOSSES[key], Q), Q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "parameters", "proper"),
    [
        ("sum_exponential", {}, Q.sqrt() / Q.sqrt().sum()),
        ("generalized_cross_entropy", {"q": 0.5}, Q**2 / (Q**2).sum()),
        ("cross_entropy", {"label_smoothing": 0.3}, 0.7 * Q + 0.1),
    ],
)
def test_declared_minimisers_that_are_not_the_label_distribution(key, parameters, proper):
    torch.testing.assert_close(
        minimiser(LOSSES[key], Q, **parameters), proper, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("key", ["focal", "poly_1"])
def test_losses_that_are_declared_improper_miss_the_label_distribution(key):
    found = minimiser(LOSSES[key], Q)
    assert (found - Q).abs().max() > 0.01
    assert found.argmax() == Q.argmax()


def test_the_mean_absolute_error_is_least_at_the_most_likely_class_with_certainty():
    assert minimiser(LOSSES["mae"], Q)[0] > 0.999


@each_loss
def test_descending_the_gradient_lowers_the_loss(loss):
    inputs = make(loss, (50,))
    steps = iter(gradients(loss, inputs, reduction="sum"))
    moved = on_logits(lambda logits: logits - 1e-4 * next(steps), inputs)
    assert (loss(*moved, reduction="none") <= loss(*inputs, reduction="none")).all()
