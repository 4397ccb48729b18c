"""`watch`: what it measures is what its parts measure, and the model never notices."""

from __future__ import annotations

import csv
import json
import math
import random
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lossviz.analysis import (
    cdnv,
    class_rows,
    class_statistics,
    nc1,
    nc2_of_weight,
    nc3,
    nc3_distance,
    nc4,
    rankme,
    watch,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    ).double()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(
        torch.randn(60, 4, generator=generator, dtype=torch.float64), torch.arange(60) % 3
    )


def values(records):
    return {(r.metric, r.label): r.value for r in records}


def test_numbers_are_those_of_all_features_at_once(model, data):
    x, y = data.tensors
    with watch(model) as seen:
        found = values(seen.collect(DataLoader(data, batch_size=7), step=3))
    model.eval()
    with torch.no_grad():
        features = model[:-1](x)
    stats = class_statistics(features, y, classes=3)
    head = model[-1]
    assert found["nc1", None] == pytest.approx(nc1(stats).item(), rel=1e-9)
    assert found["nc4", None] == nc4(head.weight, head.bias, stats, features).item()
    for function in (nc3, nc3_distance):
        expected = function(head.weight, stats).item()
        assert found[function.__name__, None] == pytest.approx(expected, rel=1e-9)
    assert found["nc2_of_weight", None] == nc2_of_weight(head.weight).item()
    assert found["cdnv", None] == pytest.approx(cdnv(stats).nanmean().item(), rel=1e-9)
    assert found["rankme", None] == pytest.approx(rankme(features).item(), rel=1e-6)
    rows = class_rows(stats, head.weight.detach())
    for name, each in rows._asdict().items():
        assert [found[name, k] for k in range(3)] == pytest.approx(each.tolist(), rel=1e-9)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_all_random_states_are_left_as_they_were(model, data, mode, fails):
    generator = torch.Generator().manual_seed(5)
    batches = list(DataLoader(data, batch_size=20))
    loader = DataLoader(data, batch_size=20, shuffle=True, generator=generator)
    model[3].eval()

    def state():
        return (
            [m.training for m in model.modules()],
            {name: x.clone() for name, x in model.state_dict().items()},
            [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
            (torch.get_rng_state(), generator.get_state()),
            (random.getstate(), str(np.random.get_state())),  # noqa: NPY002
        )

    before = state()
    with watch(model) as seen:
        if fails:
            with pytest.raises(ValueError, match="finite"):
                seen.collect(
                    [*batches, [batches[0][0] * math.nan, batches[0][1]]], step=0, mode=mode
                )
        else:
            seen.collect(loader, step=0, mode=mode)
            assert {r.mode for r in seen.records} == {mode}
        inside = state()
    for got in (inside, state()):
        torch.testing.assert_close(got[1], before[1], rtol=0, atol=0)
        torch.testing.assert_close(got[3], before[3], rtol=0, atol=0)
        assert (got[0], got[2], got[4]) == (before[0], before[2], before[4])


def test_hooks_go_also_where_the_block_raises(model):
    with pytest.raises(KeyError), watch(model) as seen:
        raise KeyError
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with pytest.raises(RuntimeError, match="over"):
        seen.collect([], step=0)


def test_train_mode_sees_dropout_and_the_second_pass_draws_the_same(model, data):
    loader = DataLoader(data, batch_size=60)
    with watch(model) as seen:
        torch.manual_seed(3)
        found = values(seen.collect(loader, step=0, mode="train"))
        calm = values(seen.collect(loader, step=0))
    torch.manual_seed(3)
    with torch.random.fork_rng(), torch.no_grad():
        (x, y), *_ = loader
        features = model.train()[:-1](x)
    stats = class_statistics(features, y, classes=3)
    head = model[-1]
    assert found["nc4", None] == nc4(head.weight, head.bias, stats, features).item()
    assert found["nc1", None] != calm["nc1", None]


def test_a_layer_by_name_needs_no_head(model, data):
    loader = DataLoader(data, batch_size=20)
    with watch(model, "0", classes=3) as seen:
        found = values(seen.collect(loader, step=0, by_class=False))
    assert set(found) == {(name, None) for name in ("nc1", "nc2", "cdnv", "rankme")}
    features = model[0](data.tensors[0]).detach()
    expected = nc1(class_statistics(features, data.tensors[1], classes=3)).item()
    assert found["nc1", None] == pytest.approx(expected, rel=1e-9)
    with watch(model, "3", head="4") as seen, watch(model) as same:
        assert seen.collect(loader, step=0) == same.collect(loader, step=0)


def test_wrapped_models_give_the_same_numbers(model, data):
    loader = DataLoader(data, batch_size=20)
    compiled = torch.compile(model, backend="eager")
    compiled(data.tensors[0])
    in_place = nn.Sequential(*model)
    in_place.compile(backend="eager")
    in_place(data.tensors[0])
    with watch(model) as seen:
        expected = values(seen.collect(loader, step=0))
    for wrapped in (compiled, in_place, nn.DataParallel(model)):
        with watch(wrapped) as seen:
            assert values(seen.collect(loader, step=0)) == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_model_is_refused(model):
    scripted = torch.jit.trace(model.eval(), torch.ones(2, 4).double())
    with pytest.raises(TypeError, match="scripted"), watch(scripted):
        pass


def test_many_features_take_a_second_pass_with_the_same_numbers(model, data, monkeypatch):
    batches = [tuple(x[a : a + 9] for x in data.tensors) for a in range(0, 54, 9)]
    passes = []

    class Loader:
        def __iter__(self):
            passes.append(1)
            return iter(batches)

    with watch(model) as seen:
        expected = values(seen.collect(Loader(), step=0))
        assert len(passes) == 1
        assert values(seen.collect(iter(batches), step=0)) == expected
        monkeypatch.setattr("lossviz.analysis.watching.PART", 1)
        found = values(seen.collect(Loader(), step=0))
        assert len(passes) == 3
        with pytest.raises(ValueError, match="anew each time"):
            seen.collect(iter(batches), step=0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_long_passes_say_how_far_they_are_and_short_ones_nothing(model, data, monkeypatch, capsys):
    loader = DataLoader(data, batch_size=20)
    with watch(model) as seen:
        seen.collect(loader, step=0)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr("lossviz.analysis.watching.PATIENCE", 0.0)
        seen.collect(loader, step=0, progress=False)
        assert capsys.readouterr().err == ""
        seen.collect(loader, step=0)
        assert "watch: 1 of 3 batches" in capsys.readouterr().err
        seen.collect(iter(list(loader)), step=0)
        assert "watch: 1 batches" in capsys.readouterr().err


def test_a_plot_has_a_panel_for_each_metric_and_a_line_for_each_split(model, data):
    loader = DataLoader(data, batch_size=20)
    with watch(model) as seen:
        with pytest.raises(ValueError, match="metrics must be"):
            seen.plot()
        for step, split in ((0, "train"), (0, "test"), (1, "train")):
            seen.collect(loader, step=step, split=split)
        seen.collect(loader, step=1, mode="train")
    figure = seen.plot()
    whole = {record.metric for record in seen.records if record.label is None}
    assert {panel.get_title() for panel in figure.axes} == whole
    (panel,) = seen.plot(["nc1"]).axes
    lines = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert set(lines) == {"train", "test", "train (train mode)"}
    found = [
        r.value for r in seen.records if (r.metric, r.split, r.mode) == ("nc1", "train", "eval")
    ]
    assert list(lines["train"]) == found
    (panel,) = seen.plot(["variance"]).axes
    assert "train, class 2" in {line.get_label() for line in panel.lines}
    with pytest.raises(ValueError, match="metrics must be"):
        seen.plot(["nc9"])


def test_tensorboard_gets_a_curve_for_each_metric_split_and_class(model, data, monkeypatch):
    class Writer:
        def __init__(self):
            self.scalars = []

        def add_scalar(self, *scalar):
            self.scalars.append(scalar)

    with watch(model) as seen:
        seen.collect(DataLoader(data, batch_size=20), step=4)
    writer = Writer()
    seen.to_tensorboard(writer)
    assert len(writer.scalars) == len(seen.records)
    tags = {tag for tag, _, step in writer.scalars if step == 4}
    assert {"train/nc1", "train/variance/2"} <= tags
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        seen.to_tensorboard("runs")


def test_the_record_is_tidy_in_csv_and_json(model, data, tmp_path):
    with watch(model) as seen:
        for step, split in ((0, "train"), (1, "test")):
            seen.collect(DataLoader(data, batch_size=20), step=step, split=split)
    seen.to_csv(tmp_path / "a.csv")
    seen.to_json(tmp_path / "a.json")
    with (tmp_path / "a.csv").open() as file:
        lines = list(csv.DictReader(file))
    rows = json.loads((tmp_path / "a.json").read_text())
    assert len(lines) == len(rows) == len(seen.records)
    for line, row, record in zip(lines, rows, seen.records, strict=True):
        assert (row["step"], row["split"], row["metric"]) == (
            record.step, record.split, record.metric
        )  # fmt: skip
        assert float(line["value"]) == row["value"] == record.value
    assert {line["label"] for line in lines} == {"", "0", "1", "2"}


def test_numbers_that_json_lacks_are_null(model, tmp_path):
    with watch(model) as seen:
        seen.collect([(torch.ones(6, 4).double(), torch.arange(6) % 3)], step=0)
    seen.to_json(tmp_path / "a.json")
    rows = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert next(row for row in rows if row["metric"] == "nc1")["value"] is None


def test_bad_input_is_told(model, data):
    x, y = data.tensors
    for options, said in (
        ({"layer": "5"}, "layer must be one of"),
        ({"head": "2"}, "head must be an nn.Linear"),
        ({"layer": "0"}, "classes must be given"),
    ):
        with pytest.raises(ValueError, match=said), watch(model, **options):
            pass
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"), watch(len):
        pass
    with pytest.raises(ValueError, match=r"no nn\.Linear"), watch(nn.ReLU()):
        pass
    unused = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3)]).double()
    unused.forward = unused[0].forward
    with watch(unused) as seen, pytest.raises(ValueError, match="it ran 0 times"):
        seen.collect([(x, y)], step=0)
    recurrent = nn.LSTM(4, 3).double()
    with watch(recurrent, "", classes=3) as seen, pytest.raises(TypeError, match="one tensor"):
        seen.collect([(x, y)], step=0)
    with watch(model) as seen:
        for loader, said in (
            ([], "at least one batch"),
            ([x], "pairs of inputs and labels"),
            ([({"x": x}, y)], "two tensors"),
            ([(x, y + 1)], r"\[0, 3\)"),
            ([(x[:2], y[:2])], r"none of the classes \[2\]"),
        ):
            with pytest.raises(ValueError, match=said):
                seen.collect(loader, step=0)
        with pytest.raises(ValueError, match="mode must be"):
            seen.collect([(x, y)], step=0, mode="test")
        assert not seen.records
