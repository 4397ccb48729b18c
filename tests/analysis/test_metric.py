"""A measure as a torchmetrics metric: alone, and over two processes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.multiprocessing

from lossviz.analysis import MEASURES, MeasureMetric, top_label_accuracy

each_measure = pytest.mark.parametrize("key", MEASURES)


def rows(key, count=11):
    return MEASURES[key].inputs.example(batch=(count,), N=count, scale=3.0)


def rows_of(measure, tensors, start, stop):
    """Rows `start` to `stop` of the tensors that have rows; those of classes whole."""
    return tuple(
        x if argument.letters[0] == "K" else x[start:stop]
        for argument, x in zip(measure.inputs.required, tensors, strict=True)
    )


@each_measure
def test_batches_give_the_whole_and_reset_forgets(key):
    metric, tensors = MeasureMetric(MEASURES[key]), rows(key)
    for start, stop in ((0, 4), (4, 4), (4, 11)):
        metric.update(*rows_of(MEASURES[key], tensors, start, stop))
    torch.testing.assert_close(metric.compute(), MEASURES[key](*tensors), rtol=1e-10, atol=0.0)
    metric.reset()
    first = rows_of(MEASURES[key], tensors, 0, 4)
    metric.update(*first)
    torch.testing.assert_close(
        metric.compute(), MEASURES[key](*first), rtol=1e-10, atol=0.0, equal_nan=True
    )


@each_measure
def test_a_step_returns_the_batch_and_keeps_the_whole(key):
    metric, tensors = MeasureMetric(MEASURES[key]), rows(key)
    for start, stop in ((0, 4), (4, 11)):
        batch = rows_of(MEASURES[key], tensors, start, stop)
        torch.testing.assert_close(
            metric(*batch), MEASURES[key](*batch), rtol=1e-10, atol=0.0, equal_nan=True
        )
    torch.testing.assert_close(metric.compute(), MEASURES[key](*tensors), rtol=1e-10, atol=0.0)


@each_measure
def test_metrics_are_copied_and_pickled_with_their_state(key):
    metric, tensors = MeasureMetric(MEASURES[key]), rows(key)
    metric.update(*tensors)
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert torch.equal(twin.compute(), metric.compute())


def test_options_are_those_of_the_measure():
    metric = MeasureMetric(top_label_accuracy, ignore_index=1)
    metric.update(torch.eye(3), torch.tensor([0, 1, 0]))
    assert metric.compute() == 0.5
    assert metric.higher_is_better
    with pytest.raises(TypeError, match="temperature"):
        MeasureMetric(top_label_accuracy, temperature=1.0)
    with pytest.raises(TypeError, match="Measure"):
        MeasureMetric(torch.nn.Linear(1, 1))


CUTS = (4, 11)  # at 11 the second process has no batch


def a_process(rank, store, found):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    values = {}
    for key in MEASURES:
        for cut in CUTS:
            metric, tensors = MeasureMetric(MEASURES[key]), rows(key)
            mine = rows_of(MEASURES[key], tensors, *((0, cut) if rank == 0 else (cut, 11)))
            if len(mine[0]):
                metric.update(*mine)
            values[key, cut] = metric.compute()
    torch.save(values, f"{found}{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_number_of_the_whole(tmp_path):
    torch.multiprocessing.spawn(a_process, (tmp_path / "store", tmp_path / "found"), nprocs=2)
    for rank in range(2):
        values = torch.load(tmp_path / f"found{rank}")
        assert set(values) == {(key, cut) for key in MEASURES for cut in CUTS}
        for (key, _), value in values.items():
            torch.testing.assert_close(value, MEASURES[key](*rows(key)), rtol=1e-10, atol=0.0)
