"""A claim that does not hold cannot be shown."""

from __future__ import annotations

import json

import pytest
import torch

from lossviz.experiments.claims import RECORD, ClaimFailed, Evidence, _written, claim


def record(evidence, **options):
    return claim("an-id", r"a < b & \(x < y\)", status="proved", **options)(lambda: evidence)


@pytest.mark.parametrize(
    ("value", "relation", "bound", "holds"),
    [
        (1.0, "<=", 1.0, True),
        (1.1, "<=", 1.0, False),
        (1.0, ">=", 1.1, False),
        (2.0, "==", 2.0, True),
        (float("nan"), "<=", 1.0, False),
        (float("nan"), ">=", 1.0, False),
    ],
)
def test_evidence_holds_exactly_when_its_relation_does(value, relation, bound, holds):
    assert Evidence("x", value, relation, bound).holds is holds


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (15, "15"),
        (0.5999999999, "0.6"),
        (0.022581, "0.0226"),
        (0.001, "0.001"),
        (0.000999, "9.99 × 10⁻⁴"),
        (1e-9, "10⁻⁹"),
        (1.0799e-10, "1.08 × 10⁻¹⁰"),
        (9.999e-10, "10⁻⁹"),
        (-0.01334, "−0.0133"),
        (-1e-8, "−10⁻⁸"),
        (12.345, "12.3"),
        (308, "308"),
        (9999, "9,999"),
        (1234.5, "1,230"),
        (28_000, "28,000"),
        (9_999_999.0, "10⁷"),
        (2.5e12, "2.5 × 10¹²"),
        (torch.tensor(0.25), "0.25"),
        (float("-inf"), "−∞"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_a_person_writes_them(value, written):
    assert _written(value) == written


def test_quantity_and_value_are_kept_apart_by_a_colon():
    assert str(Evidence("calls at T = 10", 15, "==", 15)) == "calls at T = 10: 15 = 15"


def test_making_a_claim_that_does_not_hold_raises_with_its_id_and_numbers():
    with pytest.raises(ClaimFailed, match=r"'an-id' does not hold: error: 2 ≤ 1"):
        record(Evidence("error", 2.0, "<=", 1.0))


def test_verify_runs_the_check_again():
    values = iter([0.0, 5.0])
    made = claim("id", "text", status="measured")(
        lambda: Evidence("error", next(values), "<=", 1.0)
    )
    with pytest.raises(ClaimFailed):
        made.verify()


def test_box_shows_statement_status_evidence_and_source_with_markup_escaped():
    box = record(Evidence("error", 0.25, "<=", 1.0), source="Gibbs")._repr_html_()
    assert 'id="claim-an-id"' in box
    assert r"a &lt; b &amp; \(x &lt; y\)" in box
    assert "error: 0.25 ≤ 1." in box
    assert ">proved<" in box
    assert "Source: Gibbs." in box


def test_what_was_varied_stands_under_the_box_and_in_the_record():
    varied = {"twice the steps": "60 % < 70 %", "width": "not varied"}
    made = record(Evidence("error", 0.25, "<=", 1.0), sensitivity=varied)
    assert "<li><b>twice the steps</b>: 60&nbsp;% &lt; 70&nbsp;%</li>" in made._repr_html_()
    assert made.record["sensitivity"] == varied
    assert "<li>" not in record(Evidence("error", 0.25, "<=", 1.0))._repr_html_()


def test_no_line_breaks_between_a_number_and_its_percent_sign():
    made = claim("id", "at least 60 % of them", status="measured")(
        lambda: Evidence("error", 0.0, "<=", 1.0)
    )
    assert "60&nbsp;% of" in made._repr_html_()


def test_record_beside_the_box_keeps_every_digit_through_json():
    evidence = Evidence("error", torch.tensor(0.1, dtype=torch.float64), "<=", 1 / 3)
    bundle = record(evidence)._repr_mimebundle_()
    kept = json.loads(json.dumps(bundle[RECORD]))
    assert kept.items() >= {"id": "an-id", "status": "proved"}.items()
    assert Evidence(**kept["evidence"]) == Evidence("error", 0.1, "<=", 1 / 3)
    assert "lossviz-claim" in bundle["text/html"]


def test_unknown_status_is_refused_by_name():
    with pytest.raises(ValueError, match=r"status must be one of .* got 'sure'"):
        claim("id", "text", status="sure")
