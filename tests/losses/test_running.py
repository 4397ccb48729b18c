"""Losses where they are used: compiled, vectorised, as modules, and imported at no hidden cost."""

from __future__ import annotations

import copy
import inspect
import pickle
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch

from lossviz.losses import LOSSES

from .examples import each_loss, each_setting, gradients, make, settings, with_gradients

# Tracing in torch calls what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def compiled(loss, backend, **parameters):
    torch._dynamo.reset()
    return torch.compile(
        lambda *inputs: loss(*inputs, **parameters), fullgraph=True, backend=backend
    )


def assert_same_when_compiled(loss, backend):
    for parameters in settings(loss)[:3]:
        inputs = with_gradients(make(loss, dtype=torch.float32))
        value = compiled(loss, backend, **parameters)(*inputs)
        torch.testing.assert_close(value, loss(*inputs, **parameters), rtol=1e-6, atol=0)
        value.backward()
        found = [x.grad for x in inputs if x.requires_grad]
        expected = gradients(loss, inputs, **parameters)
        for got, true in zip(found, expected, strict=True):
            torch.testing.assert_close(got, true, rtol=1e-5, atol=1e-8)


@each_loss
def test_compiles_as_one_graph_with_its_gradient(loss):
    assert_same_when_compiled(loss, "aot_eager")


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("key", ["comp_sum"])
def test_compiles_to_machine_code(key):
    assert_same_when_compiled(LOSSES[key], "inductor")


def test_compiled_cross_entropy_takes_weights_and_probabilities():
    loss = LOSSES["cross_entropy"]
    logits, target = make(loss)
    options = {"weight": torch.arange(1.0, 6.0).double(), "label_smoothing": 0.1}
    for wanted in (target, logits.flip(0).softmax(-1)):
        value = compiled(loss, "aot_eager", **options)(logits, wanted)
        torch.testing.assert_close(value, loss(logits, wanted, **options))


@each_setting
def test_vmap_over_any_input_is_a_loop(loss, parameters):
    one, two = make(loss, (3, 4)), make(loss, (3, 4), seed=1)
    batch = tuple(torch.stack(pair, dim=1) for pair in zip(one, two, strict=True))

    def f(*inputs):
        return loss(*inputs, **parameters)

    loop = torch.stack([f(*one), f(*two)])
    torch.testing.assert_close(torch.func.vmap(f, in_dims=1)(*batch), loop)
    for which in range(len(one)):
        dims = tuple(1 if i == which else None for i in range(len(one)))
        mixed = [batch[i] if i == which else one[i] for i in range(len(one))]
        other = [two[i] if i == which else one[i] for i in range(len(one))]
        torch.testing.assert_close(
            torch.func.vmap(f, in_dims=dims)(*mixed), torch.stack([f(*one), f(*other)])
        )


@each_setting
def test_gradients_example_by_example(loss, parameters):
    inputs = make(loss)

    def f(*inputs):
        return loss(*inputs, **parameters, reduction="sum")

    one_by_one = torch.func.vmap(torch.func.grad(f))(*inputs)
    torch.testing.assert_close(
        one_by_one, gradients(loss, inputs, **parameters, reduction="sum")[0]
    )


@each_setting
def test_forward_mode_and_hessian_agree_with_reverse_mode(loss, parameters):
    logits, *rest = make(loss)
    direction = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def f(logits):
        return loss(logits, *rest, **parameters)

    _, slope = torch.func.jvp(f, (logits,), (direction,))
    torch.testing.assert_close(slope, (torch.func.grad(f)(logits) * direction).sum())
    hessian = torch.func.hessian(f)(logits)
    torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.jacrev(f))(logits))


def test_one_compiled_loss_serves_several_values_of_its_parameter():
    torch._dynamo.reset()
    loss = LOSSES["comp_sum"]
    compiled_once = torch.compile(loss.function, fullgraph=True, backend="aot_eager")
    inputs = make(loss)
    for tau in (1.5, 1.6, 0.5, 1.0, 2.0):
        torch.testing.assert_close(compiled_once(*inputs, tau=tau), loss(*inputs, tau=tau))


def test_class_weights_work_under_vmap_of_grad():
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    target = torch.tensor([0, 1, 2, 2])

    def one(row, label):
        return LOSSES["cross_entropy"](row, label, weight=weight)

    rows = torch.func.vmap(torch.func.grad(one))(logits, target)
    want = torch.stack([torch.func.grad(one)(*pair) for pair in zip(logits, target, strict=True)])
    torch.testing.assert_close(rows, want)


def test_autocast_gives_float32_as_torch_does():
    logits, target = torch.randn(3, 4).bfloat16(), torch.tensor([0, 1, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert LOSSES["comp_sum"](logits, target).dtype == torch.float32
    assert LOSSES["comp_sum"](logits, target).dtype == torch.bfloat16


def test_a_module_checks_its_options_when_it_is_made_and_takes_named_inputs():
    module = LOSSES["comp_sum"].module
    with pytest.raises(ValueError, match="tau must lie in"):
        module(tau=-1.0)
    with pytest.raises(ValueError, match="reduction must be one of"):
        module(reduction="average")
    logits, target = torch.randn(3, 4), torch.tensor([0, 1, 2])
    assert torch.equal(module()(logits=logits, target=target), module()(logits, target))


def test_a_weight_given_later_is_part_of_the_state():
    module = LOSSES["cross_entropy"].module()
    module.weight = torch.ones(3)
    assert "weight" in module.state_dict()


def configured(loss):
    """The module at its defaults, and with every parameter moved and another reduction."""
    moved = {p.name: p.slider[1] for p in loss.parameters}
    return [({}, loss.module()), (moved, loss.module(**moved, reduction="sum"))]


@each_loss
def test_module_is_the_function(loss):
    inputs = make(loss)
    for parameters, module in configured(loss):
        expected = loss(*inputs, **parameters, reduction=module.reduction)
        assert torch.equal(module(*inputs), expected)
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert type(twin) is type(module)
            assert torch.equal(twin(*inputs), expected)
        assert module.state_dict() == {}
        for name, value in {**loss.defaults, **parameters}.items():
            assert f"{name}={value!r}" in repr(module)
        assert f"reduction={module.reduction!r}" in repr(module)


@each_loss
def test_module_shows_its_keywords(loss):
    keywords = [n for n, p in loss.signature.parameters.items() if p.kind is p.KEYWORD_ONLY]
    assert list(inspect.signature(loss.module).parameters) == keywords
    assert loss.key in loss.module.__doc__


def test_class_weights_of_a_module_are_a_buffer():
    loss = LOSSES["cross_entropy"]
    logits, target = make(loss)
    weight = torch.arange(1.0, 6.0)
    module = loss.module(weight=weight, label_smoothing=0.1)
    assert torch.equal(module.state_dict()["weight"], weight)
    assert "weight=(5,)" in repr(module)
    assert list(module.parameters()) == []
    expected = loss(logits, target, weight=weight, label_smoothing=0.1)
    assert torch.equal(module(logits, target), expected)
    twin = loss.module(weight=torch.zeros(5), label_smoothing=0.1)
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(logits, target), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(logits, target), expected)
    assert module.to(torch.float64).weight.dtype == torch.float64
    assert module.to("meta").weight.device.type == "meta"


def test_importing_lossviz_is_cheap_silent_and_harmless():
    """No heavy package is loaded, no socket opened, no file written."""
    script = """
        import sys
        import torch
        before = set(sys.modules)

        def forbid(event, arguments):
            mode = arguments[1] if event == "open" and isinstance(arguments[1], str) else "r"
            if set(mode) & set("wax+") or event.split(".")[0] in ("socket", "subprocess", "urllib"):
                raise SystemExit(f"{event} {arguments}")

        sys.addaudithook(forbid)
        import lossviz
        heavy = {"sympy", "matplotlib", "ipywidgets", "anywidget", "triton", "vl_convert"}
        loaded = {name.split(".")[0] for name in set(sys.modules) - before}
        assert not heavy & loaded, heavy & loaded
        lossviz.losses.comp_sum(torch.zeros(2, 3), torch.tensor([0, 2]))
        loaded = {name.split(".")[0] for name in set(sys.modules) - before}
        assert not heavy & loaded, heavy & loaded
    """
    done = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
