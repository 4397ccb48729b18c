"""Bad input is refused, and the message names the argument and repeats what it got."""

from __future__ import annotations

import math
import re

import pytest
import torch

from lossviz import losses
from lossviz.losses import LOSSES

from .examples import ROWS, each_labelled_loss, each_loss, make

each_parameter = pytest.mark.parametrize(
    ("loss", "parameter"),
    [
        pytest.param(loss, parameter, id=f"{loss.key}-{parameter.name}")
        for loss in ROWS
        for parameter in loss.parameters
    ],
)


def refuses(error, *said):
    """Expect `error` with a message in which all of `said` occur in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(str(word)) for word in said))


@each_loss
def test_logits_must_be_a_floating_tensor_with_classes(loss):
    logits, *rest = make(loss)
    name = next(iter(loss.signature.parameters))
    with refuses(TypeError, name, "list"):
        loss(logits.tolist(), *rest)
    with refuses(TypeError, name, "torch.int64"):
        loss(logits.long(), *rest)
    with refuses(TypeError, name, "torch.complex128"):
        loss(logits + 0j, *rest)
    with refuses(ValueError, name, "(..., K)", "()"):
        loss(logits[0, 0], *rest)
    with refuses(ValueError, name, "(..., K)", "(6, 0)"):
        loss(logits[:, :0], *rest)


@each_labelled_loss
def test_labels_must_be_integers_of_the_shape_of_the_rows(loss):
    logits, target = make(loss)
    with refuses(TypeError, "target", "list"):
        loss(logits, target.tolist())
    with refuses(TypeError, "target", "torch.bool"):
        loss(logits, target.bool())
    with refuses(TypeError, "target", "torch.complex64"):
        loss(logits, target.to(torch.complex64))
    with refuses(ValueError, "target", "(6,)", "(5,)", "(6, 5)"):
        loss(logits, target[:5])
    with refuses(ValueError, "target", "(6,)", "(6, 1)"):
        loss(logits, target[:, None])
    with refuses(ValueError, "target", "()", "(6,)"):
        loss(logits[0], target)


@each_labelled_loss
def test_floating_targets_are_probabilities_or_nothing(loss):
    logits, target = make(loss)
    if loss.key == "cross_entropy":
        with refuses(ValueError, "target", "(6, 5)", "(6,)"):
            loss(logits, target.double())
        with refuses(ValueError, "target", "(6, 5)", "(5, 6)"):
            loss(logits, logits.T.softmax(-1))
        with refuses(ValueError, "ignore_index", "3"):
            loss(logits, logits.softmax(-1), ignore_index=3)
    else:
        with refuses(TypeError, "target", "torch.float64"):
            loss(logits, logits.softmax(-1))


@each_labelled_loss
def test_the_class_axis_in_second_place_is_recognised(loss):
    logits, target = make(loss, (2, 7))
    with refuses(ValueError, "target", "(2, 5)", "(2, 7)", "(2, 5, 7)", "movedim(1, -1)"):
        loss(logits.movedim(-1, 1), target)


@pytest.mark.parametrize("label", [5, -1, -101, 10**12])
@each_labelled_loss
def test_labels_must_be_classes(loss, label):
    logits, target = make(loss)
    target[3] = label
    with refuses(ValueError, "target", "[0, 5)", "ignore_index", label):
        loss(logits, target)


@pytest.mark.parametrize("ignore_index", [True, 1.0, None, "none", torch.tensor(0)])
@each_labelled_loss
def test_ignore_index_must_be_an_int(loss, ignore_index):
    with refuses(TypeError, "ignore_index", repr(ignore_index)):
        loss(*make(loss), ignore_index=ignore_index)


@pytest.mark.parametrize("reduction", ["average", "Mean", None, 0])
@each_loss
def test_reduction_must_be_known(loss, reduction):
    with refuses(ValueError, "reduction", "none", "mean", "sum", repr(reduction)):
        loss(*make(loss), reduction=reduction)


@each_parameter
def test_parameters_must_be_numbers(loss, parameter):
    for value in (torch.tensor(1.0), "1", None, True, [1.0], 1j):
        with refuses(TypeError, parameter.name, type(value).__name__, repr(value)):
            loss(*make(loss), **{parameter.name: value})


@each_parameter
def test_parameters_must_lie_in_their_range(loss, parameter):
    outside = [math.nan, math.inf, -math.inf]
    if math.isfinite(parameter.low):
        outside.append(parameter.low - 1e-6)
    if math.isfinite(parameter.high):
        outside.append(parameter.high if parameter.high_open else parameter.high + 1e-6)
    for value in outside:
        with refuses(ValueError, parameter.name, parameter.interval, repr(value)):
            loss(*make(loss), **{parameter.name: value})


def test_the_pair_must_have_one_shape():
    student, teacher = make(LOSSES["symmetric_ce"])
    with refuses(ValueError, "student", "teacher", "(6, 5)", "(5, 5)"):
        losses.symmetric_ce(student, teacher[:5])
    with refuses(TypeError, "teacher", "torch.int64"):
        losses.symmetric_ce(student, teacher.long())


def test_class_weights_must_be_one_floating_number_a_class():
    inputs = make(LOSSES["cross_entropy"])
    with refuses(ValueError, "weight", "(5,)", "(4,)"):
        losses.cross_entropy(*inputs, weight=torch.ones(4))
    with refuses(ValueError, "weight", "(5,)", "(1, 5)"):
        losses.cross_entropy(*inputs, weight=torch.ones(1, 5))
    with refuses(TypeError, "weight", "torch.int64"):
        losses.cross_entropy(*inputs, weight=torch.ones(5, dtype=torch.long))
    with refuses(TypeError, "weight", "list"):
        losses.cross_entropy(*inputs, weight=[1.0] * 5)


@pytest.mark.parametrize("keyword", ["logits", "target", "weight"])
def test_devices_must_agree(keyword):
    inputs = dict(zip(("logits", "target"), make(LOSSES["cross_entropy"]), strict=True))
    inputs["weight"] = torch.ones(5)
    inputs[keyword] = inputs[keyword].to("meta")
    with refuses(ValueError, "on cpu" if keyword == "logits" else "on meta", "logits on"):
        losses.cross_entropy(**inputs)


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
    with refuses(ValueError, "family", "comp-sum", "'zzz'"):
        losses.names("zzz")


def test_an_unknown_name_is_no_attribute_of_the_package():
    with refuses(AttributeError, "lossviz.losses", "'crossentropy_'"):
        losses.crossentropy_  # noqa: B018
    with refuses(AttributeError, "lossviz.losses", "'Compsum'"):
        losses.Compsum  # noqa: B018


@each_loss
def test_a_module_refuses_unknown_keywords(loss):
    with refuses(TypeError, loss.module.__name__, "temperature", "reduction"):
        loss.module(temperature=1.0)


@each_loss
def test_parameters_are_given_by_name(loss):
    with pytest.raises(TypeError, match="positional"):
        loss(*make(loss), 1.0)
