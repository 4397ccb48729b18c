"""Logs of runs: every format says the same, the law is the analysis's, traps are named."""

from __future__ import annotations

import csv
import json
import math
import re
from types import SimpleNamespace

import pytest
import torch

import lossviz
from lossviz.analysis import reward_entropy_forecast
from lossviz.reporting import InputError, main
from lossviz.reporting.run_page import run_page
from lossviz.reporting.run_summary import summarise_run
from lossviz.reporting.runs import read_run

STEPS = 90


def rows(**changes):
    """A run that follows reward = 1 - 0.25 e^H but for noise."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.01 * torch.randn(STEPS, 2, generator=generator, dtype=torch.float64)
    found = []
    for t, (a, b) in enumerate(noise.tolist()):
        h = 0.1 + 1.1 * math.exp(-t / 30) + a
        row = {"step": 5 * t, "entropy": h, "reward": 1 - 0.25 * math.exp(h) + b}
        found.append(row | {name: make(t, h) for name, make in changes.items()})
    return found


def as_json(path, held):
    path.write_text(json.dumps(held))
    return path


def as_csv(path, header, lines):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def log(tmp_path, held=None, name="run.json"):
    return as_json(tmp_path / name, held if held is not None else rows())


def said(tmp_path, **changes):
    return " ".join(summarise_run(read_run(log(tmp_path, rows(**changes)))).suspicions)


def formats(folder):
    held = rows()
    columns = {name: [row[name] for row in held] for name in held[0]}
    verl = [
        {"step": r["step"], "data": {"actor/entropy": r["entropy"],
                                     "critic/score/mean": r["reward"], "training/epoch": 1}}
        for r in held
    ]  # fmt: skip
    (folder / "verl.jsonl").write_text("\n".join(map(json.dumps, verl)))
    header = ["Step", "grpo-7b - train/entropy", "grpo-7b - train/entropy__MIN",
              "grpo-7b - train/reward"]  # fmt: skip
    lines = [[r["step"], r["entropy"], -1, r["reward"]] for r in held]
    board = []
    for name in ("entropy", "reward"):
        one = [[1e9 + r["step"], r["step"], r[name]] for r in held]
        path = folder / f"run-grpo-tag-train_{name}.csv"
        board.append(as_csv(path, ["Wall time", "Step", "Value"], one))
    return {
        "rows": [log(folder, held)],
        "trainer state": [log(folder, {"log_history": held, "epoch": 1.0}, "trainer_state.json")],
        "columns": [log(folder, columns, "columns.json")],
        "verl": [folder / "verl.jsonl"],
        "wandb": [as_csv(folder / "wandb.csv", header, lines)],
        "tensorboard": board,
    }


@pytest.mark.parametrize(
    "name", ["rows", "trainer state", "columns", "verl", "wandb", "tensorboard"]
)
def test_every_format_gives_the_same_run(tmp_path, name):
    run = read_run(*formats(tmp_path)[name])
    held = rows()
    for kind in ("entropy", "reward"):
        wanted = torch.tensor([row[kind] for row in held], dtype=torch.float64)
        torch.testing.assert_close(run.columns[kind].values, wanted)
    assert run.step.tolist() == [row["step"] for row in held]
    assert run.held_out_rows == run.repeated_steps == 0


def test_the_law_is_that_of_the_first_two_thirds_and_is_judged_on_the_rest(tmp_path):
    summary = summarise_run(read_run(log(tmp_path)))
    h, r = (torch.tensor([row[n] for row in rows()]).double() for n in ("entropy", "reward"))
    forecast = reward_entropy_forecast(h, r, block=7)
    law, found = forecast.law, summary.law
    assert (found.a, found.b) == pytest.approx((float(law.a), float(law.b)))
    assert (found.low, found.ceiling, found.high) == pytest.approx(
        tuple(map(float, (forecast.ceiling.low, law.ceiling, forecast.ceiling.high)))
    )
    assert found.fit_error == pytest.approx(
        float((r - law.b + law.a * h.exp())[:60].square().mean().sqrt())
    )
    miss = r[60:] - (law.b - law.a * h[60:].exp())
    assert found.held_out_error == pytest.approx(float(miss.square().mean().sqrt()))
    assert summarise_run(read_run(log(tmp_path))).law == found  # one seed, one answer


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"entropy": lambda t, h: 0.5}, "entropy must vary"),
        ({"reward": lambda t, h: 0.5}, "does not fall with the entropy"),
        ({"reward": lambda t, h: math.exp(h)}, "must fall with entropy"),
        ({"entropy": lambda t, h: 100 * h}, "cannot be the entropy"),
        ({"entropy": lambda t, h: h - 0.5}, "cannot be the entropy"),
        ({"reward": lambda t, h: None if t > 5 else 1.0}, "6 steps have both"),
    ],
)
def test_no_law_is_fitted_where_none_can_hold(tmp_path, change, refused):
    summary = summarise_run(read_run(log(tmp_path, rows(**change))))
    assert re.search(refused, summary.law.refused)
    assert summary.law.refused in run_page(summary).replace("&#x27;", "'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entropy": lambda t, h: h - 0.5}, r"negative in \d+ of 90 rows"),
        ({"entropy": lambda t, h: 60 * h}, "more than the logarithm of any vocabulary"),
        ({"completion_length": lambda t, h: 100 * h}, "pads may be counted"),
        ({"sampled_nll": lambda t, h: 1.5 * h}, "1.50 times entropy"),
        ({"sampling/temperature": lambda t, h: 0.7}, "temperature is 0.7"),
        ({"sampling/temperature": lambda t, h: 0.7 if t < 80 else None}, "temperature is 0.7"),
        ({"clip_ratio": lambda t, h: 3.0}, "it is no share"),
    ],
)
def test_traps_are_named_when_they_are_seen(tmp_path, change, message):
    assert re.search(message, said(tmp_path, **change))


def test_a_rise_that_truncation_explains_is_named(tmp_path):
    change = {
        "entropy": lambda t, h: 0.2 + t / 100,
        "completions/clipped_ratio": lambda t, h: t / 100,
    }
    assert "what is cut off may be why" in said(tmp_path, **change)


def test_a_healthy_log_raises_no_suspicion(tmp_path):
    healthy = {"sampled_nll": lambda t, h: h, "kl": lambda t, h: 0.01,
               "completion_length": lambda t, h: 300 + t % 7}  # fmt: skip
    assert said(tmp_path, **healthy) == ""


def test_a_likelihood_under_the_name_of_an_entropy_is_told_by_its_name(tmp_path):
    held = [{"step": r["step"], "objective/entropy": 9 * r["entropy"]} for r in rows()]
    summary = summarise_run(read_run(log(tmp_path, held)))
    assert "negative log-likelihood of whole sequences" in summary.suspicions[0]


def test_rows_of_evaluation_are_set_aside_and_counted(tmp_path):
    held = rows()
    mixed = [*held, *({"step": 10 * t, "eval_reward": -9.0, "eval_entropy": 3.0} for t in range(7))]
    summary = summarise_run(read_run(log(tmp_path, mixed)))
    assert "7 rows are of evaluation" in summary.suspicions[0]
    assert summary.run.columns["reward"].values.min() > -1


def test_a_resumed_run_keeps_the_later_row(tmp_path):
    held = [*rows(), rows()[3] | {"reward": 5.0}]
    run = read_run(log(tmp_path, held))
    assert run.repeated_steps == 1 and run.columns["reward"].values[3] == 5.0


def test_gaps_are_unknown_and_not_zero(tmp_path):
    held = rows()
    del held[4]["reward"]
    held[5]["reward"] = None
    held[6]["reward"] = math.nan
    run = read_run(log(tmp_path, held))
    assert run.columns["reward"].values[4:7].isnan().all()
    assert summarise_run(run).law.steps == 2 * (STEPS - 3) // 3


def test_entropy_by_position_is_read_from_lists_and_from_columns(tmp_path):
    lists = [row | {"entropy_by_position": [row["entropy"], 0.5]} for row in rows()]
    first, last = read_run(log(tmp_path, lists)).by_position
    assert first.tolist() == [rows()[0]["entropy"], 0.5]
    named = [row | {f"entropy/position_{k}": k + 0.5 for k in range(12)} for row in rows()]
    assert read_run(log(tmp_path, named)).by_position[1].tolist() == [k + 0.5 for k in range(12)]
    assert "By position" in run_page(summarise_run(read_run(log(tmp_path, named))))
    assert last.shape == (2,)


def test_the_command_writes_a_page_that_asks_for_nothing_and_the_numbers(tmp_path, capsys):
    out, numbers = tmp_path / "run.html", tmp_path / "run-numbers.json"
    path = log(tmp_path)
    assert main(["report", str(path), "--out", str(out), "--json", str(numbers)]) == 0
    text = out.read_text()
    assert len(text) < 100_000
    assert not re.search(r"(?:src|href)=|<script|url\(", text)
    held = json.loads(numbers.read_text())
    assert held["law"]["ceiling"] == pytest.approx(0.75, abs=0.02)
    assert len(held["columns"]["entropy"]["values"]) == STEPS
    assert "explains" in capsys.readouterr().out
    assert main(["report", str(path), "--out", str(out), "--json", "-"]) == 0
    json.loads(capsys.readouterr().out)


def test_a_log_in_a_hostile_name_cannot_enter_the_page(tmp_path):
    held = [row | {"<script>alert(1)</script>": 1.0} for row in rows()]
    text = run_page(summarise_run(read_run(log(tmp_path, held, "<b>.json"))))
    assert "<script" not in text and "<b>" not in text


def test_many_steps_are_drawn_as_means_and_a_single_one_as_a_dot(tmp_path):
    many = [{"step": t, "entropy": 1 + t % 2, "reward": 0.5} for t in range(20_000)]
    text = run_page(summarise_run(read_run(log(tmp_path, many))))
    assert len(text) < 100_000 and "the mean of 67 steps" in text
    one = run_page(summarise_run(read_run(log(tmp_path, rows()[:1]))))
    assert "a fit needs 12" in one and "<circle" in one


BAD = {
    "empty.json": ("", "is empty"),
    "broken.json": ("[{", "is not JSON"),
    "number.json": ("3", "must hold a list of rows"),
    "none.json": ("[]", "no rows of training"),
    "other.json": ('[{"step": 1, "loss": 0.5}]', "neither an entropy .* nor a reward"),
    "evaluation.json": ('[{"step": 1, "eval_reward": 0.5}]', "no rows of training"),
    "infinite.json": ('[{"step": 1, "entropy": Infinity}]', "row 0, 'entropy' is inf"),
    "nowhere.json": ('[{"step": NaN, "entropy": 1}]', "a step is nan"),
    "gaps.json": ('[{"step": 1, "entropy": NaN}]', "neither an entropy .* nor a reward"),
    "huge.json": ('[{"step": 1, "entropy": 1' + 400 * "0" + "}]", "row 0, 'entropy'"),
    "deep.json": (100_000 * "[", "is not JSON"),
    "places.json": ('[{"entropy": 1, "entropy_position": ["x"]}]', "'entropy_position', place 0"),
    "long.csv": ("step,entropy\n1," + 200_000 * "9", "is not CSV"),
    "unequal.json": ('{"entropy": [1, 2], "reward": [1]}', "unequal lengths"),
    "two.csv": ("Step,a - entropy,b - entropy\n1,2,3\n", "holds the runs"),
    "ragged.csv": ("step,entropy\n1\n", "line 2: 1 columns, the header has 2"),
    "words.csv": ("step,entropy\n1,high\n", "line 2, 'entropy'"),
    "metric.csv": ("Wall time,Step,Value\n1,2,3\n", "its name does not end in"),
    "predictions.csv": ("p_0,p_1,label\n.5,.5,1\n", "say their --kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_log_exits_with_2_and_leaves_no_page(tmp_path, capsys, name):
    text, message = BAD[name]
    path, out = tmp_path / name, tmp_path / "page.html"
    path.write_text(text)
    assert main(["report", str(path), "--out", str(out)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists()
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_run(path)


def test_python_says_the_same_of_a_log_in_memory_as_the_command_of_the_file(tmp_path):
    held = rows()
    columns = {name: [row[name] for row in held] for name in held[0]}
    tensors = {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}
    out = tmp_path / "page.html"
    wanted = lossviz.report(log(tmp_path), out=out).as_json()
    assert "How run.json trades entropy for reward" in out.read_text()
    table = SimpleNamespace(to_dict=lambda how: {"list": columns}[how])
    for source in (held, {"log_history": held}, columns, tensors, table):
        found = lossviz.report(source).as_json()
        assert {**found, "file": "run.json", "sha256": wanted["sha256"]} == wanted
    joined = lossviz.report({"step": columns["step"], "entropy": columns["entropy"]},
                            {"step": columns["step"], "reward": columns["reward"]})  # fmt: skip
    assert joined.as_json()["law"] == wanted["law"]


def test_without_a_kind_what_is_no_log_is_refused(tmp_path):
    for source in (torch.zeros(4, 2), str(tmp_path / "logits.npz")):
        with pytest.raises(InputError, match="must be said by kind"):
            lossviz.report(source)
    with pytest.raises(InputError, match="not for the log of a run"):
        lossviz.report(rows(), against=rows())
    with pytest.raises(InputError, match="the log must hold a list of rows"):
        lossviz.report({"entropy": 1.0})


def test_options_that_are_for_predictions_are_refused(tmp_path, capsys):
    out = tmp_path / "page.html"
    command = ["report", str(log(tmp_path)), "--out", str(out), "--fail-if", "ece>0"]
    assert main(command) == 2
    assert "not for the log of a run" in capsys.readouterr().err and not out.exists()
    assert main(["report", str(tmp_path / "missing.json"), "--out", str(out)]) == 2
