"""Losses where they are used: compiled, vectorised, as modules, and imported at no hidden cost."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

import lossviz
from lossviz.declaration.inputs import BATCH
from lossviz.losses import LOSSES, comp_sum, cross_entropy, two_hot

from .examples import (
    ALL,
    arguments,
    cast,
    corners,
    each_corner,
    each_corner_with_rows_apart,
    each_loss,
    exact_in_every_dtype,
    gradients,
    learnt,
    make,
    named,
    parametrize,
    reduced,
    row_axis,
    row_losses,
    with_gradients,
)

# Tracing in torch calls what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def compiled(function, backend):
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend=backend)


def assert_same_when_compiled(loss, backend):
    """Every branch of the loss, all in one graph: the C++ compiler starts less often."""
    settings = branches(loss)
    inputs = with_gradients(loss, cast(make(loss), torch.float32))
    leaves = [inputs[i] for i in learnt(loss)]
    values = compiled(lambda *inputs: [loss(*inputs, **s) for s in settings], backend)(*inputs)
    for value, setting in zip(values, settings, strict=True):
        torch.testing.assert_close(value, loss(*inputs, **setting), rtol=1e-6, atol=0)
        found = torch.autograd.grad(value, leaves, retain_graph=True)
        expected = gradients(loss, inputs, **setting, **reduced(loss, "mean"))
        for got, true in zip(found, expected, strict=True):
            torch.testing.assert_close(got, true, rtol=1e-5, atol=1e-8)


class Operations(TorchDispatchMode):
    """Notes what is done to tensors, which tells one branch of a formula from another."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.done.append(str(function))
        return function(*args, **(kwargs or {}))


def branches(loss):
    """The corners of the parameters at which the loss is computed in different ways."""
    found = {}
    for parameters in corners(loss):
        inputs = with_gradients(loss, make(loss))
        with Operations() as operations:
            loss(*inputs, **parameters)
        found.setdefault(tuple(operations.done), parameters)
    return list(found.values())


@each_loss
def test_compiles_as_one_graph_with_its_gradient(loss):
    """Dynamo alone, which decides what can be traced; the next test goes all the way."""
    assert_same_when_compiled(loss, "eager")


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@parametrize([LOSSES["comp_sum"]])
def test_compiles_to_machine_code(loss):
    assert_same_when_compiled(loss, "inductor")


def test_compiled_cross_entropy_takes_weights_and_probabilities():
    loss = LOSSES["cross_entropy"]
    logits, target = make(loss)
    options = {"weight": torch.arange(1.0, 6.0).double(), "label_smoothing": 0.1}
    for wanted in (target, logits.flip(0).softmax(-1)):
        value = compiled(functools.partial(loss, **options), "aot_eager")(logits, wanted)
        torch.testing.assert_close(value, loss(logits, wanted, **options))


def test_one_compiled_loss_serves_several_values_of_its_parameter():
    torch._dynamo.reset()
    compiled_once = torch.compile(comp_sum, fullgraph=True, backend="aot_eager")
    inputs = make(LOSSES["comp_sum"])
    for tau in (1.5, 1.6, 0.5, 1.0, 2.0):
        torch.testing.assert_close(compiled_once(*inputs, tau=tau), comp_sum(*inputs, tau=tau))


@each_corner
def test_vmap_over_any_input_is_a_loop(loss, parameters):
    one, two = make(loss, batch=(3, 4)), make(loss, batch=(3, 4), seed=1)
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


@each_corner_with_rows_apart
def test_gradients_example_by_example(loss, parameters):
    inputs = make(loss)
    axes = [row_axis(loss, argument) for argument in arguments(loss)]
    places = tuple(learnt(loss))
    named_row = loss.inputs.rows[0] != BATCH  # a letter must stay, as an axis of one row

    def f(*inputs):
        if named_row:
            rows = zip(inputs, axes, strict=True)
            inputs = [x if axis is None else x.unsqueeze(axis) for x, axis in rows]
        return loss(*inputs, **parameters, reduction="sum")

    one_by_one = torch.func.vmap(torch.func.grad(f, argnums=places), in_dims=tuple(axes))(*inputs)
    together = gradients(loss, inputs, **parameters)
    for place, got, expected in zip(places, one_by_one, together, strict=True):
        if axes[place] is None:
            got = got.sum(0)
        torch.testing.assert_close(got, expected)


@each_corner
def test_forward_mode_and_hessian_agree_with_reverse_mode(loss, parameters):
    inputs = make(loss)
    generator = torch.Generator().manual_seed(3)
    for place in learnt(loss):
        x = inputs[place]
        direction = torch.randn(x.shape, dtype=x.dtype, generator=generator)

        def f(x, place=place):
            return loss(*inputs[:place], x, *inputs[place + 1 :], **parameters)

        _, slope = torch.func.jvp(f, (x,), (direction,))
        torch.testing.assert_close(slope, (torch.func.grad(f)(x) * direction).sum())
        hessian = torch.func.hessian(f)(x)
        torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.jacrev(f))(x))


def test_class_weights_work_under_vmap_of_grad():
    weight = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    logits = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    target = torch.tensor([0, 1, 2, 2])

    def one(row, label):
        return cross_entropy(row, label, weight=weight)

    rows = torch.func.vmap(torch.func.grad(one))(logits, target)
    want = torch.stack([torch.func.grad(one)(*pair) for pair in zip(logits, target, strict=True)])
    torch.testing.assert_close(rows, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_loss
def test_autocast_gives_float32_as_torch_does(loss, dtype):
    inputs = cast(make(loss), dtype)
    with torch.autocast("cpu", dtype=dtype):
        found = loss(*inputs)
        assert found.dtype == torch.float32
        assert loss(*make(loss)).dtype == torch.float64
    torch.testing.assert_close(found, loss(*cast(inputs, torch.float32)))
    assert loss(*inputs).dtype == dtype


@each_loss
def test_the_result_has_the_dtype_of_the_first_argument(loss):
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        inputs = cast(make(loss), dtype)
        assert loss(*inputs).dtype == row_losses(loss, inputs).dtype == dtype
        for i, gradient in zip(learnt(loss), gradients(loss, inputs), strict=True):
            assert gradient.dtype == inputs[i].dtype


@each_loss
def test_arguments_of_different_dtypes_go_together(loss):
    """The loss has the dtype of the first argument, a gradient that of its own."""
    inputs = exact_in_every_dtype(make(loss))
    for i, x in enumerate(inputs):
        if x.is_floating_point():
            mixed = (*inputs[:i], x.float(), *inputs[i + 1 :])
            found = row_losses(loss, mixed)
            assert found.dtype == mixed[0].dtype
            torch.testing.assert_close(
                found.double(), row_losses(loss, inputs), rtol=1e-4, atol=1e-4
            )
            for place, gradient in zip(learnt(loss), gradients(loss, mixed), strict=True):
                assert gradient.dtype == mixed[place].dtype


def test_a_module_checks_its_options_when_it_is_made():
    module = LOSSES["comp_sum"].module
    with pytest.raises(ValueError, match="tau must lie in"):
        module(tau=-1.0)
    with pytest.raises(ValueError, match="reduction must be one of"):
        module(reduction="average")


@each_loss
def test_a_module_takes_its_inputs_by_name_as_well(loss):
    inputs = make(loss)
    assert torch.equal(loss.module()(**named(loss, inputs)), loss.module()(*inputs))


def configured(loss):
    """The module at its defaults, and with every parameter moved and another reduction."""
    moved = {p.name: p.slider[1] for p in loss.parameters}
    other = reduced(loss, "sum")
    return [({}, {}, loss.module()), (moved, other, loss.module(**moved, **other))]


@each_loss
def test_module_is_the_function(loss):
    inputs = make(loss)
    for parameters, reduction, module in configured(loss):
        expected = loss(*inputs, **parameters, **reduction)
        assert torch.equal(module(*inputs), expected)
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert type(twin) is type(module)
            assert torch.equal(twin(*inputs), expected)
        assert module.state_dict() == {}
        for name, value in {**loss.defaults, **parameters, **reduction}.items():
            assert f"{name}={value!r}" in repr(module)


@each_loss
def test_module_shows_its_keywords(loss):
    keywords = [n for n, p in loss.signature.parameters.items() if p.kind is p.KEYWORD_ONLY]
    assert list(inspect.signature(loss.module).parameters) == keywords
    assert loss.key in loss.module.__doc__


@each_loss
def test_module_shows_its_tensors(loss):
    signature = inspect.signature(loss.module.forward)
    given = [n for n, p in loss.signature.parameters.items() if p.kind is not p.KEYWORD_ONLY]
    assert list(signature.parameters) == ["self", *given]
    assert signature.return_annotation == loss.signature.return_annotation


def test_an_exported_module_keeps_the_names_of_its_tensors():
    inputs = make(LOSSES["focal"])
    exported = torch.export.export(LOSSES["focal"].module(), inputs)
    assert exported.graph_signature.user_inputs == ("logits", "target")
    torch.testing.assert_close(exported.module()(*inputs), LOSSES["focal"](*inputs))


@pytest.mark.parametrize("key", ["two_hot", "hl_gauss", "ldr_kl"])
def test_a_number_of_classes_may_be_a_symbol(key):
    loss, inputs = LOSSES[key], make(LOSSES[key])
    graph = make_fx(loss.module(), tracing_mode="symbolic")(*inputs)
    torch.testing.assert_close(graph(*inputs), loss(*inputs))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("key", ["two_hot", "hl_gauss"])
def test_regression_as_classification_may_be_traced(key):
    loss, inputs = LOSSES[key], make(LOSSES[key])
    traced = torch.jit.trace(loss.module(), inputs, check_trace=False)
    torch.testing.assert_close(traced(*inputs), loss(*inputs))


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_machine_code_follows_a_range_that_changes():
    """Inductor may keep the bounds of a clamp from its first call, where they are not literal."""
    torch._dynamo.reset()
    compiled_once = torch.compile(two_hot)
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    for v in (1.0, 2.0, 3.0, 0.5):
        found = compiled_once(logits, torch.tensor([5 * v / 6]), v_min=-v, v_max=v)
        assert found.item() == pytest.approx(0.5742726)


BY_NAME = [
    (loss, argument)
    for loss in ALL
    for argument in loss.inputs.arguments
    if argument.optional and not argument.positional
]


@pytest.mark.parametrize(
    ("loss", "argument"), [pytest.param(*case, id=f"{case[0].key}") for case in BY_NAME]
)
def test_a_tensor_option_of_a_module_is_a_buffer(loss, argument):
    name = argument.name
    everything = dict(
        zip((a.name for a in loss.inputs.arguments), make(loss, optional=True), strict=True)
    )
    tensor = everything[name]
    inputs = named(loss, make(loss))
    options = {p.name: p.slider[1] for p in loss.parameters}
    module = loss.module(**{name: tensor}, **options)
    assert torch.equal(module.state_dict()[name], tensor)
    assert f"{name}={tuple(tensor.shape)}" in repr(module)
    assert list(module.parameters()) == []
    expected = loss(**inputs, **{name: tensor}, **options)
    assert torch.equal(module(**inputs), expected)
    twin = loss.module(**{name: torch.zeros_like(tensor)}, **options)
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(**inputs), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(**inputs), expected)
    moved = module.to(torch.float32)
    assert getattr(moved, name).dtype == (
        torch.float32 if tensor.is_floating_point() else tensor.dtype
    )
    assert getattr(module.to("meta"), name).device.type == "meta"
    later = loss.module()
    setattr(later, name, tensor)
    assert name in later.state_dict()


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
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


def test_the_package_lists_what_it_has_and_imports_it_when_asked():
    assert dir(lossviz) == sorted(["__version__", *lossviz.__all__])
    script = "import lossviz; [getattr(lossviz, n) for n in dir(lossviz)]; e = lossviz.experiments;"
    script += "[getattr(e, n) for n in dir(e)]; e.aggregation, e.datasets, e.claims"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
