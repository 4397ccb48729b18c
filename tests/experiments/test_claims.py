"""A claim that does not hold cannot be shown."""

from __future__ import annotations

import json

import pytest
import torch

from lossviz.experiments.claims import RECORD, ClaimFailed, Evidence, claim


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


def test_making_a_claim_that_does_not_hold_raises_with_its_id_and_numbers():
    with pytest.raises(ClaimFailed, match=r"'an-id' does not hold: error: 2 <= 1"):
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
    assert "error 0.25 ≤ 1" in box
    assert ">proved<" in box
    assert "Source: Gibbs." in box


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
