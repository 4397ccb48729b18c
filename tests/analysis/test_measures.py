"""Any split, order or merge of a measure gives the number of the whole."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossviz.analysis import MEASURES, mean_entropy, top_label_accuracy

each_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def batch_of(measure, rows, seed=0, **options):
    return measure.inputs.example(batch=(rows,), N=rows, scale=3.0, seed=seed, **options)


def rows_of(measure, tensors, start, stop):
    """Rows `start` to `stop` of the tensors that have rows; those of classes whole."""
    return tuple(
        x if argument.letters[0] == "K" else x[start:stop]
        for argument, x in zip(measure.inputs.required, tensors, strict=True)
    )


def pieces(measure, tensors, cuts):
    """The tensors cut into batches at the given rows; those without rows stay whole."""
    edges = [0, *sorted(cuts), len(tensors[0])]
    return [rows_of(measure, tensors, a, b) for a, b in itertools.pairwise(edges)]


@each_measure
def test_every_fact_holds(measure):
    assert measure.facts
    for fact in measure.facts:
        fact.verify(measure)


@each_measure
@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=6),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 99),
)
def test_any_split_order_and_merge_gives_the_whole(measure, cuts, order, seed):
    tensors = batch_of(measure, 40, seed)
    whole = measure(*tensors)
    batches = pieces(measure, tensors, cuts)
    order.shuffle(batches)
    streams = [measure.stream() for _ in range(3)]
    for number, batch in enumerate(batches):
        streams[number % 3].update(*batch)
    order.shuffle(streams)
    first, *others = streams
    for other in others:
        first.merge(other)
    torch.testing.assert_close(first.compute(), whole, rtol=1e-10, atol=1e-12)


@each_measure
def test_the_sums_of_an_empty_batch_change_nothing(measure):
    tensors = batch_of(measure, 9)
    stream = measure.stream().update(*rows_of(measure, tensors, 0, 0)).update(*tensors)
    assert torch.equal(stream.compute(), measure(*tensors))


@each_measure
def test_without_rows_it_is_nan_and_reset_forgets(measure):
    assert measure.stream().compute().isnan()
    empty = measure(*batch_of(measure, 0))
    assert empty.isnan()
    assert empty.dtype == torch.float64
    stream = measure.stream().update(*batch_of(measure, 5))
    stream.reset()
    assert stream.compute().isnan()


@each_measure
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_float64_whatever_comes_in(measure, dtype):
    tensors = batch_of(measure, 8, dtype=dtype)
    value = measure(*tensors)
    assert value.dtype == torch.float64
    wide = tuple(x.double() if x.is_floating_point() else x for x in tensors)
    torch.testing.assert_close(value, measure(*wide), rtol=1e-5, atol=1e-6)
    assert not measure.stream().update(*tensors).compute().requires_grad


@each_measure
def test_streams_of_other_measures_or_parameters_do_not_merge(measure):
    other = next(m for m in MEASURES.values() if m is not measure)
    with pytest.raises(TypeError, match=measure.key):
        measure.stream().merge(other.stream())
    with pytest.raises(TypeError, match="unexpected"):
        measure(*batch_of(measure, 3), temperature=2.0)
    with pytest.raises(TypeError, match="takes"):
        measure(*batch_of(measure, 3), *batch_of(measure, 3), *batch_of(measure, 3))


@each_measure
def test_a_measure_is_copied_and_pickled_by_reference(measure):
    assert copy.deepcopy(measure) is measure
    assert pickle.loads(pickle.dumps(measure)) is measure


def test_ignored_rows_do_not_count():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    target = torch.tensor([0, 1, -100])
    assert top_label_accuracy(logits, target) == 0.5
    assert top_label_accuracy(logits, target.clamp_min(0), ignore_index=1) == 0.5
    assert top_label_accuracy(logits, torch.full((3,), -100)).isnan()
    with pytest.raises(ValueError, match="ignore_index"):
        top_label_accuracy.stream().merge(top_label_accuracy.stream(ignore_index=3))


def test_nan_is_a_wrong_answer_and_an_unknown_entropy():
    logits = torch.tensor([[torch.nan, 0.0], [1.0, 0.0]])
    assert top_label_accuracy(logits, torch.tensor([0, 0])) == 0.5
    assert mean_entropy(logits).isnan()


def test_a_batch_that_is_refused_adds_nothing():
    stream = top_label_accuracy.stream().update(torch.eye(3), torch.arange(3))
    with pytest.raises(ValueError, match="target"):
        stream.update(torch.eye(3), torch.arange(2))
    assert stream.compute() == 1


def test_entropy_of_ruled_out_classes_is_finite():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    torch.testing.assert_close(mean_entropy(logits), torch.tensor(2.0).double().log())
