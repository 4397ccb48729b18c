"""Bad input is refused at the door, and the message names the argument and repeats what it got."""

from __future__ import annotations

import math
import re

import pytest
import torch

from lossviz import losses
from lossviz.declaration.inputs import ANY, BATCH, must_exist
from lossviz.losses import LOSSES

from .examples import (
    ALL,
    arguments,
    each_loss,
    each_loss_that_ignores,
    each_loss_with_rows,
    make,
    named,
    parametrize,
    reduced,
)

each_parameter = pytest.mark.parametrize(
    ("loss", "parameter"),
    [pytest.param(loss, p, id=f"{loss.key}-{p.name}") for loss in ALL for p in loss.parameters],
)

# Optional arguments pass the same door.
each_argument = pytest.mark.parametrize(
    ("loss", "argument"),
    [
        pytest.param(loss, argument, id=f"{loss.key}-{argument.name}")
        for loss in ALL
        for argument in loss.inputs.arguments
    ],
)


def refuses(error, *said):
    """Expect `error` with a message in which all of `said` occur in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(str(word)) for word in said))


def given(loss, **drawn):
    """All arguments by name, the optional ones as well; the reduction is one that takes them."""
    tensors = make(loss, optional=True, **drawn)
    by_name = {a.name: x for a, x in zip(loss.inputs.arguments, tensors, strict=True)}
    return {**by_name, **reduced(loss, "sum")}


def written(*shapes):
    """A pattern for shapes in any order."""
    return "".join(f"(?=.*{re.escape(str(tuple(shape)))})" for shape in shapes)


@each_argument
def test_what_is_not_a_tensor_is_refused_with_the_cure(loss, argument):
    everything = given(loss)
    name, x = argument.name, everything[argument.name]
    for wrong in (x.tolist(), x.numpy()):
        with refuses(TypeError, name, type(wrong).__name__, f"torch.as_tensor({name})"):
            loss(**{**everything, name: wrong})
    for wrong in ("x", 1.0, {}):
        with refuses(TypeError, name, type(wrong).__name__):
            loss(**{**everything, name: wrong})
    if not argument.optional:
        with refuses(TypeError, name, "NoneType"):
            loss(**{**everything, name: None})


@each_argument
def test_a_dtype_of_another_kind_is_refused(loss, argument):
    everything = given(loss)
    name, x = argument.name, everything[argument.name]
    held = {argument.kind.holds, argument.otherwise.kind.holds if argument.otherwise else ""}
    wrong = [torch.complex64, torch.complex128]
    wrong += [] if "truth" in held else [torch.bool]
    wrong += [] if held - {"integer", ""} else [torch.float32, torch.float64]
    wrong += [] if held - {"floating", ""} else [torch.int64, torch.int32]
    for dtype in wrong:
        with refuses(TypeError, name, dtype):
            loss(**{**everything, name: x.to(dtype)})


@each_argument
def test_a_shape_that_does_not_fit_is_refused_with_both_shapes(loss, argument):
    """Each letter that another argument has as well, one entry longer; an axis more; one less."""
    everything = given(loss, batch=(6,))
    name, x = argument.name, everything[argument.name]
    elsewhere = {letter for a in loss.inputs.arguments if a.name != name for letter in a.letters}
    for letter in argument.letters:
        if letter in elsewhere:
            axis = argument.axis(letter)
            longer = torch.cat([x, x.narrow(axis, 0, 1)], axis)
            with pytest.raises(ValueError, match=written(longer.shape)) as refused:
                loss(**{**everything, name: longer})
            message = str(refused.value)
            others = [a for a in loss.inputs.arguments if a.name != name and a.name in message]
            assert any(str(tuple(everything[a.name].shape)) in message for a in others)
    if elsewhere & set(argument.letters):
        alone = BATCH in argument.letters and BATCH not in elsewhere  # takes any leading axes
        for wrong in (x.select(-1, 0), *([] if alone else [x[None]])):
            with pytest.raises(ValueError, match=written(wrong.shape)):
                loss(**{**everything, name: wrong})
    if argument.shape not in (BATCH, ANY):
        with refuses(ValueError, name, argument.written, "()"):
            loss(**{**everything, name: x.flatten()[0]})


@each_loss
def test_an_axis_that_must_have_entries_may_not_be_empty(loss):
    everything = given(loss)
    for letter in filter(must_exist, loss.inputs.letters):
        along = [a for a in loss.inputs.arguments if letter in a.letters]
        empty = {a.name: everything[a.name].narrow(a.axis(letter), 0, 0) for a in along}
        first = along[0].name
        least = along[0].least if letter == along[0].letters[-1] else 1
        with refuses(ValueError, first, f"{letter} >= {least}", tuple(empty[first].shape)):
            loss(**{**everything, **empty})


CANDIDATES = (-1.0, -0.001, 0.0, 0.5, 1.5, 2.0, 7.0, -101.0, 1e12)


@each_argument
def test_values_out_of_range_are_refused(loss, argument):
    """Any value that the kind calls outside, and its place; each range has such a value."""
    everything = given(loss)
    name, x, kind = argument.name, everything[argument.name], argument.kind
    sizes = {
        letter: y.shape[a.axis(letter)]
        for a, y in zip(loss.inputs.arguments, everything.values(), strict=False)
        for letter in a.letters
    }
    if kind.outside is None:
        return
    refused, last = 0, tuple(size - 1 for size in x.shape)
    for value in (*CANDIDATES, *sizes.values()):
        spoilt = x.double() if kind.holds == "truth" else x.clone()
        spoilt.view(-1)[-1] = value
        if spoilt.view(-1)[-1] == value and kind.outside(spoilt, sizes).any():
            where = f"at index {last[0] if len(last) == 1 else last}" if last else ""
            with refuses(ValueError, name, kind.range(sizes), spoilt.view(-1)[-1].item(), where):
                loss(**{**everything, name: spoilt})
            refused += 1
    assert refused >= 2


@each_argument
def test_devices_must_agree(loss, argument):
    if len(loss.inputs.arguments) == 1:
        return
    everything = given(loss)
    everything[argument.name] = everything[argument.name].to("meta")
    first = loss.inputs.arguments[0].name
    where = "cpu" if argument.name == first else "meta"
    with refuses(ValueError, f"on {where}", f"{first} on"):
        loss(**everything)


@parametrize([loss for loss in ALL if any(a.otherwise for a in loss.inputs.arguments)])
def test_the_other_reading_of_an_argument_passes_the_same_door(loss):
    everything = given(loss)
    for argument in loss.inputs.arguments:
        other = argument.otherwise
        if other is None:
            continue
        name, x = argument.name, everything[argument.name]
        beside = everything[loss.inputs.arguments[0].name]
        with pytest.raises(ValueError, match=f"(?=.*{name})" + written(x.shape, beside.shape)):
            loss(**{**everything, name: x.double()})
        if other.letters == loss.inputs.arguments[0].letters:
            with pytest.raises(ValueError, match=f"(?=.*{name})" + written((5, 6), (6, 5))):
                loss(**{**everything, name: beside.T.softmax(-1)})
        if argument.kind.ignorable:
            with refuses(ValueError, "ignore_index", "3"):
                loss(**{**everything, name: beside.softmax(-1)}, ignore_index=3)


TWO_AXES = [
    loss
    for loss in ALL
    if len(loss.inputs.arguments[0].letters) == 2
    and loss.inputs.arguments[0].letters[0] == BATCH
    and any(a.letters == (BATCH,) for a in arguments(loss))
]


@parametrize(TWO_AXES)
def test_the_class_axis_in_second_place_is_recognised(loss):
    everything = named(loss, make(loss, batch=(2, 7)))
    first = loss.inputs.arguments[0]
    moved = {
        a.name: x.movedim(-1, 1) if a.letters == first.letters else x
        for a, x in zip(arguments(loss), everything.values(), strict=True)
    }
    name = next(a.name for a in arguments(loss) if a.letters == (BATCH,))
    wrong = moved[first.name].shape
    with refuses(ValueError, name, tuple(wrong[:-1]), (2, 7), tuple(wrong), "movedim(1, -1)"):
        loss(**moved)


@parametrize(TWO_AXES)
def test_labels_in_a_column_or_in_one_hot_rows_are_recognised(loss):
    everything = named(loss, make(loss))
    first = everything[loss.inputs.arguments[0].name]
    for argument in arguments(loss):
        if argument.letters == (BATCH,) and argument.kind.classes:
            name, labels = argument.name, everything[argument.name]
            with refuses(ValueError, name, f"{name}.squeeze(-1)"):
                loss(**{**everything, name: labels.unsqueeze(-1)})
            with refuses(ValueError, name, f"{name}.argmax(-1)"):
                loss(**{**everything, name: torch.ones_like(first, dtype=torch.int64)})


@pytest.mark.parametrize("label", [-1, -101, 10**12])
@each_loss_that_ignores
def test_a_wrong_label_is_refused_with_the_way_out(loss, label):
    everything = given(loss)
    name = next(a.name for a in loss.inputs.arguments if a.kind.ignorable)
    everything[name].view(-1)[3] = label
    with refuses(ValueError, name, "[0, ", "ignore_index", label):
        loss(**everything)


@pytest.mark.parametrize("ignore_index", [True, 1.0, None, "none", torch.tensor(0)])
@each_loss_that_ignores
def test_ignore_index_must_be_an_int(loss, ignore_index):
    with refuses(TypeError, "ignore_index", repr(ignore_index)):
        loss(*make(loss), ignore_index=ignore_index)


@each_loss_that_ignores
def test_ignore_index_must_fit_into_64_bits(loss):
    with refuses(ValueError, "ignore_index", 2**63):
        loss(*make(loss), ignore_index=2**63)


@pytest.mark.parametrize("reduction", ["average", "Mean", None, 0])
@each_loss_with_rows
def test_reduction_must_be_known(loss, reduction):
    with refuses(ValueError, "reduction", "none", "mean", "sum", repr(reduction)):
        loss(*make(loss), reduction=reduction)


@each_parameter
def test_parameters_must_be_numbers(loss, parameter):
    for value in ("1", None, True, [1.0], 1j):
        with refuses(TypeError, parameter.name, type(value).__name__, repr(value)):
            loss(*make(loss), **{parameter.name: value})


@each_parameter
def test_a_tensor_as_parameter_is_refused_with_the_cure(loss, parameter):
    for value in (torch.tensor(1.0), torch.ones(3), torch.nn.Parameter(torch.ones(()))):
        shape = tuple(value.shape)
        with refuses(TypeError, parameter.name, "tensor", shape, "float(value)", "learnt"):
            loss(*make(loss), **{parameter.name: value})


@each_parameter
def test_parameters_must_lie_in_their_range(loss, parameter):
    outside = [math.nan, math.inf, -math.inf]
    if math.isfinite(parameter.low):
        outside.append(parameter.low if parameter.low_open else parameter.low - 1e-6)
    if math.isfinite(parameter.high):
        outside.append(parameter.high if parameter.high_open else parameter.high + 1e-6)
    for value in outside:
        with refuses(ValueError, parameter.name, parameter.interval, repr(value)):
            loss(*make(loss), **{parameter.name: value})


@each_loss
def test_parameters_are_given_by_name(loss):
    places = sum(a.positional for a in loss.inputs.arguments)
    everything = make(loss, optional=True)[:places]
    with refuses(TypeError, loss.key, f"takes {places} positional", f"got {places + 1}", "by name"):
        loss(*everything, 1.0)


@each_loss
def test_arguments_must_be_there_and_once(loss):
    inputs = make(loss)
    name = arguments(loss)[0].name
    with refuses(TypeError, loss.key, name, "twice"):
        loss(*inputs, **{name: inputs[0]})
    for i, argument in enumerate(loss.inputs.arguments):
        if not argument.optional:
            everything = named(loss, inputs)
            del everything[argument.name]
            with refuses(TypeError, loss.key, "missing", repr(argument.name)):
                loss(**everything)
            assert i < len(inputs)


@each_loss
def test_an_unknown_keyword_is_refused_with_those_that_are_known(loss):
    with refuses(TypeError, loss.key, "temperature_", *loss.signature.parameters):
        loss(*make(loss), temperature_=1.0)
    with refuses(TypeError, loss.module.__name__, "temperature_"):
        loss.module(temperature_=1.0)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("crossentropy", "cross_entropy"),
        ("Cross-Entropy", "cross_entropy"),
        ("compsum", "comp_sum"),
        ("poly1", "poly_1"),
        ("mean absolute error", "mae"),
        ("generalised_cross_entropy", "generalized_cross_entropy"),
        ("zzz", "cross_entropy"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(wrong, nearest):
    with refuses(ValueError, repr(wrong), nearest):
        losses.get(wrong)


def test_a_key_must_be_a_string_and_a_family_known():
    with refuses(TypeError, "key", "int"):
        losses.get(3)
    with refuses(ValueError, "family", next(iter(LOSSES.values())).family, "'zzz'"):
        losses.names("zzz")


def test_an_unknown_name_is_no_attribute_of_the_package():
    with refuses(AttributeError, "lossviz.losses", "'crossentropy_'"):
        losses.crossentropy_  # noqa: B018
    with refuses(AttributeError, "lossviz.losses", "'Compsum'"):
        losses.Compsum  # noqa: B018


LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
LABELS = LOGITS.argmax(-1)
ONE_HOT = torch.nn.functional.one_hot(LABELS, 3)


@pytest.mark.parametrize(
    ("key", "logits", "target", "error", "cure"),
    [
        ("cross_entropy", LOGITS, LABELS.float(), ValueError, "target.long()"),
        ("comp_sum", LOGITS, LABELS.float(), TypeError, "target.long()"),
        ("cross_entropy", LOGITS, ONE_HOT, ValueError, ".float() probabilities"),
        ("comp_sum", LOGITS, ONE_HOT, ValueError, "target.argmax(-1)"),
        ("comp_sum", LOGITS, ONE_HOT.float(), TypeError, "target.argmax(-1)"),
        ("comp_sum", LOGITS, LABELS[:, None], ValueError, "target.squeeze(-1)"),
        ("comp_sum", LOGITS.T, LABELS, ValueError, "logits.T"),
        ("comp_sum", LOGITS[:, 0], LABELS, ValueError, "torch.stack((0 * z, z), -1)"),
        ("comp_sum", LOGITS[:, :1], LABELS.clamp(max=1), ValueError, "torch.stack((0 * z, z), -1)"),
    ],
)
def test_a_usual_mistake_is_answered_with_what_to_type(key, logits, target, error, cure):
    with refuses(error, "target", cure):
        LOSSES[key](logits, target)


def test_a_module_called_as_a_function_is_told_apart():
    with refuses(TypeError, "CompSum()(logits, target)"):
        losses.CompSum(LOGITS, LABELS)


def test_a_key_given_as_a_family_is_answered_with_the_family():
    with refuses(ValueError, "did you mean 'comp-sum'"):
        losses.names("comp_sum")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("label_smoothing", "it is a parameter of ['cross_entropy'"),
        ("gce", "did you mean one of ['generalized_cross_entropy'"),
        ("log loss", "did you mean one of ['cross_entropy'"),
        ("focl", "did you mean one of ['focal'"),
    ],
)
def test_an_unknown_key_is_answered_with_what_goes_by_that_name(key, said):
    with refuses(ValueError, said):
        losses.get(key)
