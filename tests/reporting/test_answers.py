"""Answers of language models and independent labels, as users have them."""

from __future__ import annotations

import json
import math

import pytest
import torch

import lossviz
from lossviz.analysis import auroc, brier_score, ece
from lossviz.reporting import InputError, calibrators, main, summary
from lossviz.reporting.inputs import read

TOKENS = "token log-probabilities"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(summary, "DRAWS", 20)
    monkeypatch.setattr(summary, "FEW_DRAWS", 5)
    monkeypatch.setattr(calibrators, "CANDIDATES", calibrators.CANDIDATES[:1])


def chat(logs):
    return {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": x} for x in logs]}}]}


SHAPES = {
    "chat": chat,
    "completions": lambda logs: {"choices": [{"logprobs": {"token_logprobs": logs}}]},
    "batch": lambda logs: {"response": {"body": chat(logs)}},
    "plain": lambda logs: {"token_logprobs": logs},
}


def written(path, lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def tokens(path, **options):
    return read(path, kind=TOKENS, **{"logprobs": "raw", **options})


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answers_confidence_is_what_was_asked_for(tmp_path, shape):
    logs = [-0.5, -0.25, -1.25]
    lines = [{**SHAPES[shape](logs), "correct": True}, {**SHAPES[shape]([-1.0]), "correct": 0}]
    path = written(tmp_path / "x.jsonl", [*lines, ""])
    for reading, value in (("total", -2.0), ("mean", -2 / 3), ("least", -1.25)):
        found = tokens(path, confidence=reading)
        ((p, y, _),) = found.blocks()
        assert p[:, 1].tolist() == pytest.approx([math.exp(value), math.exp(-1)])
        assert y.tolist() == [1, 0]
        assert reading in found.notes["confidence in an answer"]


def test_minus_9999_is_impossible_null_is_unknown_and_nan_is_an_error(tmp_path):
    lines = [
        {"token_logprobs": [-0.1, -9999.0], "correct": False},
        {"token_logprobs": [None, -0.1], "correct": True},
        '{"token_logprobs": [-Infinity], "correct": 0}',
        {"token_logprobs": [-0.1], "correct": True},
    ]
    found = tokens(written(tmp_path / "x.jsonl", lines))
    ((p, _, places),) = found.blocks()
    assert p[:, 1].tolist() == pytest.approx([0.0, 0.0, math.exp(-0.1)])
    assert places.tolist() == [0, 2, 3]
    assert (found.target == -100).tolist() == [False, True, False, False]
    bad = written(tmp_path / "y.jsonl", [lines[0], '{"token_logprobs": [NaN], "correct": 1}'])
    with pytest.raises(InputError, match="line 2 holds NaN"):
        tokens(bad)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "must be an object"),
        ({"text": "a", "correct": 1}, "no log-probabilities of tokens"),
        ({"token_logprobs": [0.7], "correct": 1}, "0.7 is no log-probability"),
        ({"token_logprobs": ["-1"], "correct": 1}, "'-1' is no log-probability"),
        ({"token_logprobs": [-1.0]}, "under one key whether the answer is right"),
        ({"token_logprobs": [-1.0], "correct": "yes"}, "correct must be true, false, 0 or 1"),
        ({"choices": [1, 2], "correct": 1}, "2 choices"),
        ({"token_logprobs": [None], "correct": 1}, "every answer has a token without"),
    ],
)
def test_what_is_no_answer_is_refused_by_its_line(tmp_path, line, why):
    with pytest.raises(InputError, match=why):
        tokens(written(tmp_path / "x.jsonl", [line])).need_rows()


def test_raw_or_processed_is_asked_for(tmp_path):
    path = written(tmp_path / "x.jsonl", [{"token_logprobs": [-1.0], "correct": 1}])
    with pytest.raises(InputError, match="raw"):
        read(path, kind=TOKENS)
    with pytest.raises(InputError, match=TOKENS):
        read(path, kind="logits")
    with pytest.raises(InputError, match="jsonl"):
        read(torch.zeros(3), kind=TOKENS, logprobs="raw")


def test_the_page_of_answers_is_about_the_event_that_they_are_right(tmp_path):
    generator = torch.Generator().manual_seed(0)
    logs = -2 * torch.rand(300, generator=generator, dtype=torch.float64) ** 2
    right = torch.rand(300, generator=generator, dtype=torch.float64) < (2 * logs).exp()
    lines = [
        {"token_logprobs": [float(x)], "correct": bool(a), "site": "ab"[n % 2]}
        for n, (x, a) in enumerate(zip(logs, right, strict=True))
    ]
    path, out = written(tmp_path / "x.jsonl", lines), tmp_path / "x.html"
    arguments = [str(path), "--kind", TOKENS, "--logprobs", "raw", "--groups", "site"]
    assert main(["report", *arguments, "--out", str(out)]) == 0
    text = out.read_text()
    assert "raw" in text and "of 300 answers are right" in text
    for foreign in ("<h2>Classes</h2>", "commonest class", "by chance or by always"):
        assert foreign not in text
    found = lossviz.report(path, kind=TOKENS, logprobs="raw").scores
    assert found["accuracy"].value == pytest.approx(right.double().mean().item())
    assert found["ece"].value == pytest.approx(float(ece(logs.exp(), right)))
    assert found["auroc"].value == pytest.approx(float(auroc(logs.exp(), right)))


def test_independent_labels_are_rows_and_each_label_is_a_group(tmp_path):
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(200, 3, generator=generator)
    truth = (torch.rand(200, 3, generator=generator) < p).long()
    found = lossviz.report(p, truth, kind="multilabel", out=tmp_path / "x.html")
    assert {group.name: group.rows for group in found.groups} == {
        f"label {number}": 200 for number in range(3)
    }
    two = torch.stack((1 - p, p), -1).reshape(-1, 2).clamp(0, 1)
    expected = float(brier_score(two, truth.flatten()))
    assert found.scores["brier_score"].value == pytest.approx(expected, rel=1e-6)
    assert found.about["a row here"].startswith("one of the 3 labels of one")
    for wrong, why in ((truth[:, :2], "0 and 1 of shape"), (truth + 1, "must be 0 and 1")):
        with pytest.raises(InputError, match=why):
            lossviz.report(p, wrong, kind="multilabel")
    with pytest.raises(InputError, match=r"\(N, L\)"):
        lossviz.report(p[:, 0], truth[:, 0], kind="multilabel")


def test_independent_labels_may_be_grouped_by_their_examples():
    p = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    truth = (p > 0.4).long()
    site = ["north", "south"] * 20
    found = lossviz.report(p, truth, kind="multilabel", groups=site)
    (north,) = (one for one in found.groups if one.name == "north")
    alone = lossviz.report(p[::2], truth[::2], kind="multilabel")
    assert (north.rows, north.accuracy) == (60, alone.scores["accuracy"].value)
    with pytest.raises(InputError, match="one group per row, 40, got 39"):
        lossviz.report(p, truth, kind="multilabel", groups=site[1:])


def test_answers_are_grouped_by_what_is_given(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"token_logprobs": [-0.1], "correct": 1}\n' * 4)
    options = {"kind": "token log-probabilities", "logprobs": "raw"}
    found = lossviz.report(path, groups=["a", "b", "b", "b"], **options)
    assert [(one.name, one.rows) for one in found.groups] == [("a", 1), ("b", 3)]
    with pytest.raises(InputError, match="same file"):
        lossviz.report(path, [1, 1, 1, 1], **options)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("array", {"logits_key": "z"}),
        ("array", {"groups_key": "g"}),
        ("array", {"logprobs": "raw"}),
        ("array", {"confidence": "mean"}),
        ("array", {"groups_key": "g", "groups": [0, 0]}),
        ("table", {"logits_key": "z"}),
    ],
)
def test_what_would_not_be_looked_at_is_refused(tmp_path, source, options):
    (tmp_path / "x.csv").write_text("cat,dog,label\n1,2,cat\n3,2,cat\n")
    given = (tmp_path / "x.csv",) if source == "table" else (torch.eye(2), torch.arange(2))
    with pytest.raises(InputError, match=r"does not go with|expected one"):
        lossviz.report(*given, kind="logits", **options)


def test_where_one_file_cannot_be_written_neither_is(tmp_path):
    given = ["report", "--demo", "--out", str(tmp_path / "x.html"), "--json"]
    assert main([*given, str(tmp_path / "none" / "x.json")]) == 2
    assert main([*given, str(tmp_path)]) == 2
    assert not [*tmp_path.iterdir()]


def test_classes_of_one_name_and_infinite_rows_are_refused_by_name(tmp_path):
    (tmp_path / "x.csv").write_text("a,a,b,label\n0.5,0.25,0.25,b\n")
    with pytest.raises(InputError, match="2 columns named 'a'"):
        read(tmp_path / "x.csv", kind="probabilities")
    z = torch.zeros(9, 3)
    z[7, 1] = math.inf
    with pytest.raises(InputError, match="inf in row 7"):
        lossviz.report(z, torch.zeros(9, dtype=torch.int64), kind="logits")
