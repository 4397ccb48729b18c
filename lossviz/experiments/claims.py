"""Claims of the book: a statement, the check beside it, and the box that shows both.

A chapter states a claim by decorating the check::

    @claim("ce-strictly-proper", r"... statement with \\(maths\\) ...", status="proved")
    def _():
        ...
        return Evidence("largest distance from the truth", error, "<=", 1e-6)

Executing the cell runs the check, shows the box, and raises `ClaimFailed` if the claim does not
hold, which fails the build of the book. A measured claim also says what was varied and what came
out then::

    sensitivity={"twice the steps": "0.012 to 0.019", "width": "not varied"}

Beside the box the executed notebook keeps what was
measured, under the type `RECORD`; the test suite reads it there.
"""

from __future__ import annotations

import html
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["proved", "measured", "recorded", "quoted"]
STATUS_MEANING: dict[Status, str] = {
    "proved": "Proved in the text or the source; the check computes an instance.",
    "measured": "Measured here; the check repeats the measurement.",
    "recorded": "Measured before, on the machine that is named; the check reads the record.",
    "quoted": "Quoted from the source; the check shows that our numbers do not contradict it.",
}
RECORD = "application/vnd.lossviz.claim+json"
_RELATIONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class ClaimFailed(AssertionError):
    """A claim's check did not hold."""


@dataclass(frozen=True)
class Evidence:
    """What a check measured and what it had to satisfy: `value` `relation` `bound`.

    NaN satisfies no relation, so a check that went wrong cannot pass.
    """

    quantity: str
    value: float
    relation: Literal["<=", ">=", "=="]
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the relation holds."""
        return bool(_RELATIONS[self.relation](self.value, self.bound))

    def __str__(self) -> str:
        value, bound = _written(self.value), _written(self.bound)
        return f"{self.quantity}: {value} {_SIGNS[self.relation]} {bound}"


@dataclass(frozen=True)
class Claim:
    """One claim of a chapter.

    `statement` is plain text with maths in ``\\(...\\)``; `source` names where a proof or a quoted
    result is found, in words; `sensitivity` maps what was varied to what came out.
    """

    id: str
    statement: str
    status: Status
    check: Callable[[], Evidence]
    source: str
    evidence: Evidence
    sensitivity: Mapping[str, str] = field(default_factory=dict)

    def verify(self) -> Evidence:
        """Run the check again; raise `ClaimFailed` if it does not hold."""
        return _verify(self.id, self.check)

    @property
    def record(self) -> dict[str, Any]:
        """Id, status and sensitivity, and the evidence with its numbers in full."""
        measured = self.evidence
        return {
            "id": self.id,
            "status": self.status,
            "sensitivity": dict(self.sensitivity),
            "evidence": {
                "quantity": measured.quantity,
                "value": float(measured.value),
                "relation": measured.relation,
                "bound": float(measured.bound),
            },
        }

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return {"text/html": self._repr_html_(), RECORD: self.record}

    def _repr_html_(self) -> str:
        source = f" Source: {html.escape(self.source)}." if self.source else ""
        statement = _text(self.statement)
        rows = "".join(
            f"<li><b>{_text(varied)}</b>: {_text(outcome)}</li>"
            for varied, outcome in self.sensitivity.items()
        )
        return (
            f'<div class="lossviz-claim mathjax_process" id="claim-{self.id}" role="note">'
            f'<p class="lossviz-claim-title">Claim <span class="lossviz-claim-status" '
            f'title="{STATUS_MEANING[self.status]}">{self.status}</span></p>'
            f"<p>{statement}</p>"
            f'<p class="lossviz-claim-evidence">Checked above, '
            f"{html.escape(str(self.evidence), quote=False)}.{source}</p>"
            + (f'<ul class="lossviz-claim-varied">{rows}</ul>' if rows else "")
            + "</div>"
        )


def _text(text: str) -> str:
    """Text as HTML, with each per cent sign kept beside its number."""
    return html.escape(text, quote=False).replace(" %", "&nbsp;%")


def _written(value: float) -> str:
    """A number as a person writes it, to three digits: 0.0226, 28,000, −1.33 × 10⁻⁸.

    Whole numbers below 10,000 keep all their digits.
    """
    size = abs(float(value))
    if math.isnan(size):
        return "NaN"
    sign = "−" if value < 0 else ""
    if math.isinf(size):
        return f"{sign}∞"
    rounded = f"{size:.2e}"
    mantissa, _, exponent = rounded.partition("e")
    power = int(exponent)
    if size < 10_000 and size.is_integer():
        digits = f"{size:,.0f}"
    elif -3 <= power < 7:
        digits = f"{float(rounded):,.{max(2 - power, 0)}f}"
        digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    else:
        ten = f"10{str(power).translate(_SUPERSCRIPTS)}"
        digits = ten if float(mantissa) == 1 else f"{float(mantissa):g} × {ten}"
    return sign + digits


def _verify(identifier: str, check: Callable[[], Evidence]) -> Evidence:
    evidence = check()
    if not evidence.holds:
        raise ClaimFailed(f"claim {identifier!r} does not hold: {evidence}")
    return evidence


def claim(
    identifier: str,
    statement: str,
    *,
    status: Status,
    source: str = "",
    sensitivity: Mapping[str, str] | None = None,
) -> Callable[[Callable[[], Evidence]], Claim]:
    """Decorate a check into a `Claim`: run it, show its box, and return the record.

    sensitivity : what was varied and what came out, as rows under the box; a measured claim needs
    them. Numbers that nobody measured have no place there: the row then says "not varied".

    Raises ValueError for an unknown status and `ClaimFailed` when the check does not hold.
    """
    if status not in STATUS_MEANING:
        raise ValueError(f"status must be one of {tuple(STATUS_MEANING)}, got {status!r}")

    def record(check: Callable[[], Evidence]) -> Claim:
        evidence = _verify(identifier, check)
        varied = dict(sensitivity or {})
        made = Claim(identifier, statement, status, check, source, evidence, varied)
        _show(made)
        return made

    return record


def _show(made: Claim) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:  # in a script the record is all there is to give
        return
    if get_ipython() is not None:
        display(made)
