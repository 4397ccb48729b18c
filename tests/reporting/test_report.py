"""The numbers are those of the analysis, however the rows are read, and say when to doubt them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

import lossviz
from lossviz import analysis
from lossviz.reporting import InputError, calibrators, inputs, main, summary
from lossviz.reporting.demo import DEMO, demo_logits
from lossviz.reporting.inputs import read
from lossviz.reporting.page import page
from lossviz.reporting.rows import pass_over

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Five resamples and one calibrator: what they are has tests of its own."""
    monkeypatch.setattr(summary, "DRAWS", 5)
    monkeypatch.setattr(summary, "FEW_DRAWS", 5)
    monkeypatch.setattr(calibrators, "CANDIDATES", calibrators.CANDIDATES[:1])


def made(rows, classes, sharpness=2.0, seed=0):
    """Logits that are `sharpness` times as large as those that the labels are drawn from."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, classes, generator=generator)
    labels = torch.multinomial(z.softmax(-1), 1, generator=generator)[:, 0]
    return sharpness * z, labels


def scores_of(z, y):
    p = analysis.class_probabilities(z, kind="logits")
    pair = analysis.top_label(z, y, kind="logits")
    return {
        "accuracy": analysis.top_label_accuracy(z, y),
        "top5_accuracy": (z.topk(5).indices == y[:, None]).any(-1).double().mean(),
        "ece": analysis.ece(*pair),
        "classwise_ece": analysis.classwise_ece(p, y),
        "smooth_ece": analysis.smooth_ece(*pair),
        "brier_score": analysis.brier_score(p, y),
        "log_score": lossviz.losses.cross_entropy(z.double(), y),
        "aurc": analysis.area_under_risk_coverage(*pair),
        "auroc": analysis.auroc(*pair),
    }


@pytest.mark.parametrize("block", [2**20, 13])
def test_the_numbers_are_those_of_the_analysis_in_any_blocks(monkeypatch, block):
    monkeypatch.setattr(inputs, "BLOCK", block)
    z, y = made(300, 7)
    found = lossviz.report(z, y, kind="logits").as_json()["scores"]
    expected = scores_of(z, y)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key]["value"] == pytest.approx(float(value), abs=1e-12), key


def test_rows_that_do_not_count_change_nothing():
    z, y = made(200, 4)
    more = torch.cat([z, torch.full((50, 4), 9.0)])
    longer = torch.cat([y, torch.full((50,), -100)])
    one, other = (lossviz.report(*pair, kind="logits") for pair in ((z, y), (more, longer)))
    assert one.scores == other.scores
    assert other.about["ignored rows"] == 50


def test_every_kind_says_the_same_of_the_same_predictions():
    z, y = made(200, 2)
    z = z.double()
    kinds = {
        "logits": z, "probabilities": z.softmax(-1), "log-probabilities": z.log_softmax(-1),
        "binary score": z.softmax(-1)[:, 1],
    }  # fmt: skip
    found = [lossviz.report(given, y, kind=kind).scores for kind, given in kinds.items()]
    for scores in found[1:]:
        for key, score in scores.items():
            assert score.value == pytest.approx(found[0][key].value, abs=1e-9), key


@pytest.mark.parametrize("kind", ["probabilities", "log-probabilities"])
def test_probabilities_that_rounding_took_above_1_count_as_1(kind):
    p = torch.tensor([[1.00003, 1e-9], [0.5, 0.5]]).repeat(20, 1)
    given = p if kind == "probabilities" else p.log()
    found = lossviz.report(given, torch.tensor([0, 1]).repeat(20), kind=kind)
    assert found.scores["ece"].value == pytest.approx(0.25, abs=1e-9)


def test_the_report_draws_a_sample_of_many_rows(monkeypatch):
    monkeypatch.setattr("lossviz.reporting.rows.SAMPLE", (100, 2**21))
    z, y = made(500, 3)
    rows = pass_over(read(z, y, kind="logits"), seed=1)
    assert rows.sample.shape == (100, 3) and torch.equal(rows.sample, z[rows.drawn])
    assert len(rows.drawn.unique()) == 100
    other = pass_over(read(z, y, kind="logits"), seed=2)
    assert not torch.equal(rows.drawn, other.drawn)


def test_against_is_a_paired_difference():
    z, y = made(300, 4)
    found = lossviz.report(z, y, kind="logits", against=z / 2).against["scores"]
    for key, of in {"ece": scores_ece, "log_score": scores_log}.items():
        expected = of(z / 2, y) - of(z, y)
        assert found[key]["value"] == pytest.approx(float(expected), abs=1e-12)
    assert found["accuracy"] == {"value": 0, "low": 0, "high": 0}
    same = lossviz.report(z, y, kind="logits", against=z).against["scores"]
    assert same["log_score"] == {"value": 0, "low": 0, "high": 0}


def scores_ece(z, y):
    return analysis.ece(*analysis.top_label(z, y, kind="logits"))


def scores_log(z, y):
    return lossviz.losses.cross_entropy(z.double(), y)


def test_files_with_other_labels_are_not_compared(tmp_path):
    z, y = made(60, 3)
    for name, labels in (("a", y), ("b", y.flip(0))):
        np.savez(tmp_path / f"{name}.npz", logits=z.numpy(), labels=labels.numpy())
    with pytest.raises(InputError, match="same rows in the same order"):
        lossviz.report(tmp_path / "a.npz", kind="logits", against=tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda z, y: (z.softmax(-1), y), "400 of 400 rows are positive and sum to 1"),
        (lambda z, y: (z, y[torch.randperm(400, generator=GENERATOR)]), "rows are right, about"),
        (lambda z, y: (z[y.argsort()], y.sort().values), "all 400 labels are sorted"),
        (lambda z, y: (200 * z, y), "have a confidence of exactly 1"),
        (lambda z, y: (torch.cat([z, z[:, :1] - 9], -1), y), "1 of 5 classes are the label of no"),
        (lambda z, y: (z[:50], y[:50]), "50 rows are few"),
    ],
)
def test_what_looks_like_a_mistake_is_said_with_its_count(change, words):
    z, y = made(400, 4)
    assert not lossviz.report(z, y, kind="logits").suspicions
    found = lossviz.report(*change(z, y), kind="logits").suspicions
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(("share", "suspected"), [(0.5, True), (0.75, False)])
def test_two_classes_are_near_chance_only_where_half_of_the_rows_are_right(share, suspected):
    y = torch.arange(400) % 2
    right = torch.arange(400) < 400 * share
    score = torch.where(right, y, 1 - y) * 0.6 + 0.2
    found = lossviz.report(score.double(), y, kind="binary score").suspicions
    assert any("rows are right, about" in sentence for sentence in found) is suspected


@pytest.mark.parametrize(
    ("value", "kind", "why"),
    [
        (torch.nan, "logits", "rows 25 to 31: .*NaN, got one in row 31"),
        (torch.inf, "logits", "rows 25 to 31: .* finite largest"),
        (0.75, "probabilities", "row 31 sums to 2.25"),
    ],
)
def test_rows_that_are_not_of_their_kind_are_refused_by_name(monkeypatch, value, kind, why):
    monkeypatch.setattr(inputs, "BLOCK", 24)
    z, y = made(60, 3)
    y[:27:2] = -100
    rows = z if kind == "logits" else z.softmax(-1)
    rows[31] = value
    with pytest.raises(InputError, match=f"^predictions, .*{why}"):
        lossviz.report(rows, y, kind=kind)


def test_groups_are_rows_by_themselves(tmp_path):
    z, y = made(300, 3)
    group = torch.arange(300) % 2
    found = lossviz.report(z, y, kind="logits", groups=["even", "odd"] * 150)
    assert {one.name for one in found.groups} == {"even", "odd"}
    for one in found.groups:
        inside = group == (one.name == "odd")
        pair = analysis.top_label(z[inside], y[inside], kind="logits")
        assert one.rows == 150
        assert one.ece == pytest.approx(float(analysis.ece(*pair)), abs=1e-12)
    assert "<h2>Groups</h2>" in page(found)
    np.savez(tmp_path / "x.npz", logits=z, labels=y, site=group)
    named = lossviz.report(tmp_path / "x.npz", kind="logits", groups_key="site")
    assert [one.ece for one in named.groups] == [one.ece for one in found.groups]
    with pytest.raises(InputError, match="one group per row, 300, got 2"):
        lossviz.report(z, y, kind="logits", groups=[0, 1])


def test_a_table_may_name_groups(tmp_path):
    (tmp_path / "x.csv").write_text("cat,dog,label,site\n1,2,cat,north\n3,2,cat,south\n")
    found = lossviz.report(tmp_path / "x.csv", kind="logits", groups_key="site")
    assert [(one.name, one.accuracy) for one in found.groups] == [("north", 0.0), ("south", 1.0)]


def test_calibrators_find_the_temperature_that_was_hidden(monkeypatch):
    monkeypatch.undo()
    z, y = made(4000, 3, sharpness=2.0)
    found = calibrators.compare(z, y, "logits")
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    (of_temperature,) = [one for one in found.gains if one.title == "temperature"]
    assert 0 < of_temperature.low < of_temperature.gain < of_temperature.high
    assert of_temperature.ece < found.ece / 2
    assert [one.gain for one in found.gains] == sorted((g.gain for g in found.gains), reverse=True)


def test_a_calibrated_model_is_left_as_it_is():
    found = calibrators.compare(*made(4000, 3, sharpness=1.0), "logits")
    assert found.best is None


def test_separable_rows_are_said_and_not_calibrated():
    y = torch.arange(60) % 3
    found = calibrators.compare(9.0 * torch.nn.functional.one_hot(y).double(), y, "logits")
    assert found.temperature is None
    assert "temperature goes to 0" in found.gains[0].failure


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_the_code_that_the_page_shows_runs(monkeypatch, kind):
    monkeypatch.undo()
    z, y = made(300, 3)
    given = z.double() if kind == "logits" else z.double().softmax(-1)
    for candidate in calibrators.CANDIDATES:
        gain = calibrators.Gain(candidate.title, candidate.code, 1, 1, 1, 0, 1)
        space = {"held_out": given, "held_out_labels": y, "new": given}
        exec(calibrators.code_to_apply(gain, kind), space)
        assert torch.allclose(space["probabilities"].sum(-1), torch.ones(300).double())


def test_the_page_asks_for_nothing_and_stays_small_whatever_the_rows():
    z, y = made(3000, 1200)
    names = summary.summarise(read(z, y, kind="logits"), pass_over(read(z, y, kind="logits")))
    html = page(names)
    assert len(html.encode()) < 1.5e6
    assert not re.search(
        r"(?:src|href)=|url\(|@import|fetch\(|https?://(?!www\.w3\.org/2000/svg)", html
    )
    assert "The worst 1,000 of 1,200 classes" in html


def test_names_are_escaped_in_the_page(tmp_path):
    (tmp_path / "<b>.csv").write_text("<i>,b,label\n1,2,<i>\n3,2,b\n")
    found = lossviz.report(tmp_path / "<b>.csv", kind="logits")
    html = page(found)
    assert "<b>" not in html and "<i>" not in html and "&lt;i&gt;" in html


def test_the_same_file_gives_the_same_page(tmp_path):
    for name in ("one", "two"):
        lossviz.report(DEMO, kind="logits", out=tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_demo_is_what_its_module_makes():
    kept, (logits, labels) = np.load(DEMO), demo_logits()
    assert DEMO.stat().st_size < 100_000
    assert np.array_equal(kept["labels"], labels)
    agree = (kept["logits"].argmax(-1) == logits.argmax(-1)).mean()
    assert agree > 0.95  # another machine rounds otherwise


def test_the_command_writes_a_page_and_all_numbers(tmp_path, capsys):
    out, numbers = tmp_path / "r.html", tmp_path / "r.json"
    assert main(["report", "--demo", "--out", str(out), "--json", str(numbers)]) == 0
    assert "% of 1,200 rows are right" in capsys.readouterr().out
    assert out.read_text().startswith("<!doctype html>")
    found = json.loads(numbers.read_text())
    kept = np.load(DEMO)
    expected = scores_of(*map(torch.tensor, (kept["logits"], kept["labels"])))
    for key, value in expected.items():
        assert found["scores"][key]["value"] == pytest.approx(float(value), abs=1e-12), key
    assert found["about"]["sha256"] and sorted(path.name for path in tmp_path.iterdir()) == [
        "r.html", "r.json"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "code"),
    [("ece>0.05", 1), ("ece > 0.5", 0), ("accuracy<0.9", 1), ("log_score<=1e-3", 0)],
)
def test_a_condition_that_holds_exits_with_1(tmp_path, condition, code):
    arguments = ["report", "--demo", "--out", str(tmp_path / "r.html"), "--fail-if", condition]
    assert main(arguments) == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.npz", "--kind", "logits"],
        ["--kind", "logits"],
        ["x.npz"],
        ["--demo", "--fail-if", "ece>lots"],
        ["--demo", "--fail-if", "beauty>1"],
        ["--demo", "--out", "no/such/folder.html"],
        ["broken.npz", "--kind", "logits"],
        ["nan.npz", "--kind", "logits"],
        ["good.npz", "--kind", "logits", "--out", "good.npz"],
        ["good.npz", "--kind", "logits", "--against", "nan.npz", "--json", "nan.npz"],
        ["good.npz", "--kind", "logits", "--out", "same", "--json", "./same"],
        ["good.npz", "--kind", "logits", "--labels", "nope"],
        ["--demo", "--kind", "probabilities"],
        ["--demo", "good.npz"],
    ],
)
def test_bad_input_exits_with_2_and_leaves_no_file(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04")
    np.savez(tmp_path / "nan.npz", logits=np.full((9, 2), np.nan), labels=np.zeros(9, int))
    np.savez(tmp_path / "good.npz", logits=np.eye(3), labels=np.arange(3))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["report", *arguments]) == 2
    assert capsys.readouterr().err.startswith("lossviz report: ")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("seed", ["x", "-1", "9" * 30])
def test_a_seed_that_is_none_exits_with_2(seed):
    with pytest.raises(SystemExit) as stopped:
        main(["report", "--demo", "--seed", seed])
    assert stopped.value.code == 2


@pytest.mark.parametrize("bad", [1.5, -0.25, np.nan])
@pytest.mark.parametrize("kind", ["binary score", "multilabel"])
def test_a_score_that_is_no_probability_is_named_with_its_place(kind, bad):
    p = np.full((5, 2), 0.5)
    p[3, 1] = bad
    where = r"\(3, 1\)" if kind == "multilabel" else "3"
    if kind == "binary score":
        p = p[:, 1]
    with pytest.raises(InputError, match=rf"in \[0, 1\], got {bad:g} at {where}"):
        lossviz.report(p, np.zeros(p.shape, int), kind=kind)


def test_a_condition_on_what_is_not_defined_is_bad_input(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", logits=np.eye(3), labels=np.arange(3))
    arguments = ["report", str(tmp_path / "x.npz"), "--kind", "logits", "--fail-if", "auroc<0.5"]
    assert main([*arguments, "--out", str(tmp_path / "r.html")]) == 2
    assert "not defined" in capsys.readouterr().err


def test_an_older_page_stays_where_the_new_one_fails(tmp_path):
    out = tmp_path / "r.html"
    out.write_text("older")
    assert main(["report", str(tmp_path / "x.npz"), "--kind", "logits", "--out", str(out)]) == 2
    assert out.read_text() == "older"
