"""What is said about a loss, each statement with the check that shows it or the source it is from.

A `Fact` states an identity, a limit or a property. Statements of a common shape (`convex`,
`bounded`, `monotone`, `minimiser`, ...) are made by functions of this module: their sentence is
printed from data and their check is written here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch

from .form import parse
from .inputs import Inputs
from .parameter import Parameter, number
from .source import Source

Check = Callable[..., tuple[torch.Tensor, torch.Tensor]]
Status = Literal["proved", "quoted", "measured"]
Trait = Literal[
    "bounded", "unbounded", "proper", "not proper", "convex", "not convex", "robust", "adversarial"
]
TRAITS: tuple[Trait, ...] = get_args(Trait)
"""What a loss can be looked up by: "robust" is to label noise, "adversarial" to moved inputs."""


class Subject(Protocol):
    """A loss, as the statements of this module see it."""

    @property
    def inputs(self) -> Inputs: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...
    @property
    def defaults(self) -> dict[str, float]: ...
    def __call__(self, *tensors: torch.Tensor, **options: Any) -> torch.Tensor: ...


@dataclass(frozen=True)
class Fact:
    """One statement about a loss, a law or a measure.

    `check(*tensors)` receives its `example()` and returns the two tensors that the statement says
    are equal, to the relative tolerance `rtol` (a limit may only be approached). `holds(declared)`
    is for statements that are not equations: it raises AssertionError where the statement fails.
    `status` is "proved" (elementary, or in the cited source), "quoted" (from the source, not
    re-derived here) or "measured" (shown by our own experiment).

    `trait` is the property that the statement gives to the loss, if it is one of `TRAITS`, and
    `when` the parameters at which it has it: "tau in [0, 1]", "tau = 2", or "lam to inf".

    Raises ValueError for a statement with neither a check nor a source that it is quoted from, and
    for a trait that is none of `TRAITS`.
    """

    statement: str
    check: Check | None = None
    status: Status = "proved"
    source: Source | None = None
    rtol: float = 1e-9
    holds: Callable[[Any], None] | None = None
    trait: Trait | None = None
    when: str = ""

    def __post_init__(self) -> None:
        if self.trait is not None and self.trait not in TRAITS:
            raise ValueError(f"trait must be one of {TRAITS} or None, got {self.trait!r}")
        if not self.checked and (self.status != "quoted" or self.source is None):
            raise ValueError(
                f"a fact needs a check, or status 'quoted' and a source: {self.statement!r}"
            )

    @property
    def checked(self) -> bool:
        """Whether the tests compute anything for it."""
        return self.check is not None or self.holds is not None

    def verify(self, declared: Any) -> None:
        """Raise AssertionError where the statement does not hold; do nothing if it is quoted.

        `declared` is the loss, law or measure that the statement is about.
        """
        if self.check is not None:
            got, expected = self.check(*declared.example())
            torch.testing.assert_close(got, expected, rtol=self.rtol, atol=0.0)
        if self.holds is not None:
            self.holds(declared)


@dataclass(frozen=True)
class When:
    """A condition on one parameter, written as ``"tau in [0, 1]"``."""

    text: str

    @property
    def _parts(self) -> tuple[str, Any]:
        name, _, interval = self.text.partition(" in ")
        return name, number(name, name, interval, (0, 1, 1), "", "", "")

    def settings(self, loss: Subject) -> Iterator[tuple[dict[str, float], bool]]:
        """Parameter values along the slider, each with whether the condition holds there."""
        if not self.text:
            yield loss.defaults, True
            return
        name, interval = self._parts
        (parameter,) = (p for p in loss.parameters if p.name == name)
        start, stop, _ = parameter.slider
        for step in range(9):
            value = start + (stop - start) * step / 8
            if parameter.contains(value):
                yield {**loss.defaults, name: value}, interval.contains(value)

    def met(self, parameters: Mapping[str, float]) -> bool:
        """Whether the condition holds at these parameters."""
        if not self.text:
            return True
        name, interval = self._parts
        return bool(interval.contains(parameters[name]))

    @property
    def clause(self) -> str:
        """The condition as the end of a sentence."""
        if not self.text:
            return ""
        name, interval = self._parts
        return f" for {name} in {interval.interval}"


def convex(when: str = "", *, why: str = "", source: Source | None = None) -> Fact:
    """Convex in what is learnt, exactly where `when` says; `why` is the argument in a clause."""
    condition = When(when)

    def holds(loss: Subject) -> None:
        for parameters, expected in condition.settings(loss):
            assert _is_convex(loss, parameters) == expected, parameters

    limits = f"{condition.clause} and not beyond" if when else ""
    statement = f"Convex in the scores{limits}{_because(why)}."
    return Fact(statement, source=source, holds=holds, trait="convex", when=when)


def not_convex(*, why: str = "", source: Source | None = None) -> Fact:
    """Not convex in what is learnt, at the default parameters."""

    def holds(loss: Subject) -> None:
        assert not _is_convex(loss, loss.defaults)

    statement = f"Not convex in the scores{_because(why)}."
    return Fact(statement, source=source, holds=holds, trait="not convex")


def _is_convex(loss: Subject, parameters: dict[str, float]) -> bool:
    """No violation at the middle of 2000 random segments between examples."""
    names = [argument.name for argument in loss.inputs.required]
    moving = set(loss.inputs.learnt)
    one = loss.inputs.example(batch=(2000,), N=2000, scale=4.0, seed=1)
    two = loss.inputs.example(batch=(2000,), N=2000, scale=4.0, seed=2)
    other = [b if name in moving else a for name, a, b in zip(names, one, two, strict=True)]
    half = [
        (a + b) / 2 if name in moving else a for name, a, b in zip(names, one, other, strict=True)
    ]
    ends = [loss(*x, **parameters, reduction="none") for x in (one, other)]
    middle = loss(*half, **parameters, reduction="none")
    chord = (ends[0] + ends[1]) / 2
    return bool((middle <= chord + 1e-12 * chord.abs() + 1e-14).all())


def bounded(low: str, high: str, *, when: str = "", source: Source | None = None) -> Fact:
    """Between `low` and `high`, formulas in the parameters and K, and near `high` at its worst."""
    condition = When(when)

    def holds(loss: Subject) -> None:
        inputs = loss.inputs.example(batch=(200,), scale=300.0)
        for parameters, within in condition.settings(loss):
            if not within:
                continue
            rows = loss(*inputs, **parameters, reduction="none")
            least, most = (_number(loss, text, parameters) for text in (low, high))
            slack = 1e-12 * max(abs(least), abs(most), 1.0)
            assert rows.min() >= least - slack, (parameters, rows.min())
            assert rows.max() <= most + slack, (parameters, rows.max())
            assert rows.max() > most - 0.01 * (most - least), (parameters, rows.max())

    statement = f"Between {low} and {high}{condition.clause}."
    return Fact(statement, source=source, holds=holds, trait="bounded", when=when)


def unbounded(when: str = "", *, how: str = "", source: Source | None = None) -> Fact:
    """Without an upper bound; `how` says in a clause how it grows."""
    condition = When(when)

    def holds(loss: Subject) -> None:
        for parameters, within in condition.settings(loss):
            if within:
                worst = [_worst(loss, scale, parameters) for scale in (3.0, 30.0, 300.0)]
                assert worst[0] < worst[1] < worst[2] or worst[1:] == [torch.inf] * 2, worst
                assert worst[2] > 3 * worst[1] or worst[2] > 1e6, worst

    grows = f"; {how}" if how else ""
    statement = f"Unbounded above{condition.clause}{grows}."
    return Fact(statement, source=source, holds=holds, trait="unbounded", when=when)


def _worst(loss: Subject, scale: float, parameters: dict[str, float]) -> float:
    inputs = loss.inputs.example(batch=(200,), scale=scale)
    return float(loss(*inputs, **parameters, reduction="none").max())


def monotone(name: str, direction: Literal["up", "down"] = "down") -> Fact:
    """At fixed inputs never moves against `direction` as the parameter grows."""

    def holds(loss: Subject) -> None:
        (parameter,) = (p for p in loss.parameters if p.name == name)
        inputs = loss.inputs.example(batch=(500,), scale=3.0)
        start, stop, step = parameter.slider
        count = round((stop - start) / step)
        values = torch.stack(
            [
                loss(
                    *inputs, **{**loss.defaults, name: start + i * step}, reduction="none"
                )
                for i in range(count + 1)
                if parameter.contains(start + i * step)
            ]
        )  # fmt: skip
        steps = values.diff(dim=0) * (1 if direction == "up" else -1)
        assert (steps >= -1e-12 * values[1:].abs()).all()

    word = "decrease" if direction == "up" else "increase"
    return Fact(f"At fixed inputs it does not {word} with {name}.", holds=holds)


LABEL_PROBABILITIES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def minimiser(
    scores: str,
    *,
    when: str = "",
    statement: str = "",
    proper: bool = False,
    source: Source | None = None,
) -> Fact:
    """The expected loss under label probabilities eta is least at these scores.

    `scores` is a formula in eta (of the class) and the parameters, up to what the loss does not
    see: ``"log(eta)"`` says that the loss is proper for softmax probabilities. One with
    probabilities of another kind says itself that it is `proper`.
    """
    condition = When(when)

    def holds(loss: Subject) -> None:
        for parameters, within in condition.settings(loss):
            if within:
                best = _scores(loss, scores, parameters)
                value, slope = _expected(loss, best[None], parameters)
                assert slope.abs().max() < 1e-8 * max(1.0, value.abs().item()), (parameters, slope)
                generator = torch.Generator().manual_seed(0)
                moves = torch.randn(3, 50, 3, generator=generator, dtype=torch.float64)
                sizes = torch.tensor([0.01, 0.3, 3.0]).double().reshape(3, 1, 1)
                around = _expected(loss, (best + sizes * moves).flatten(0, 1), parameters)[0]
                assert around.min() >= value - 1e-12, parameters

    proper = proper or scores == "log(eta)"
    said = statement or (
        "Proper: the expected loss is least at the label probabilities eta themselves"
        if proper
        else f"Under label probabilities eta the expected loss is least at the scores {scores}"
    )
    return Fact(
        f"{said}{condition.clause}.",
        source=source,
        holds=holds,
        trait="proper" if proper else None,
        when=when,
    )


def not_proper(statement: str = "", *, when: str = "", source: Source | None = None) -> Fact:
    """The label distribution does not minimise the expected loss."""
    condition = When(when)

    def holds(loss: Subject) -> None:
        for parameters, within in condition.settings(loss):
            if within:
                slope = _expected(loss, LABEL_PROBABILITIES.log()[None], parameters)[1]
                assert slope.abs().max() > 1e-4, (parameters, slope)

    said = statement or "Not proper: the expected loss is not least at the label distribution"
    statement = f"{said}{condition.clause}."
    return Fact(statement, source=source, holds=holds, trait="not proper", when=when)


def _expected(
    loss: Subject, scores: torch.Tensor, parameters: dict[str, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The expected loss (N,) at scores (N, K), and its gradient (N, K)."""
    classes = scores.shape[-1]
    leaf = scores.detach().clone().requires_grad_()
    each = leaf.unsqueeze(1).expand(-1, classes, classes)
    labels = torch.arange(classes).expand(len(scores), classes)
    rows = loss(each, labels, **parameters, reduction="none")
    value = rows @ LABEL_PROBABILITIES
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), slope


def _scores(loss: Subject, text: str, parameters: dict[str, float]) -> torch.Tensor:
    import sympy as sp

    eta = sp.Symbol("eta", positive=True)
    formula = parse(text, loss.parameters, [eta])
    known = {p.sympy: parameters[p.name] for p in loss.parameters}
    values = [float(formula.subs({**known, eta: each.item()})) for each in LABEL_PROBABILITIES]
    return torch.tensor(values, dtype=torch.float64)


def sum_over_labels(
    total: str, *, when: str = "", source: Source | None = None, **at: float
) -> Fact:
    """Summed over all labels it is `total`, a formula in K and the parameters, at any scores.

    `at` are parameters at which that holds, where it is not at the defaults; where one of them
    stands for a limit, `when` names it: "lam to inf".
    """

    def holds(loss: Subject) -> None:
        parameters = {**loss.defaults, **at}
        for classes in (2, 3, 10):
            logits, *_ = loss.inputs.example(batch=(50,), K=classes, scale=5.0)
            rows = [
                loss(logits, torch.full((50,), k), **parameters, reduction="none")
                for k in range(classes)
            ]
            want = _number(loss, total, parameters, classes)
            torch.testing.assert_close(sum(rows), torch.full((50,), want).double())

    held = when or ", ".join(f"{name} = {value:g}" for name, value in at.items())
    where = f" in the limit {when}" if when else f" at {held}" if held else ""
    return Fact(
        f"Symmetric{where}: its sum over all labels is {total}, whatever the scores.",
        source=source,
        holds=holds,
        trait="robust",
        when=held,
    )


def _number(loss: Subject, text: str, parameters: dict[str, float], classes: int = 5) -> float:
    import sympy as sp

    count = sp.Symbol("K", positive=True)
    known = {p.sympy: parameters[p.name] for p in loss.parameters}
    return float(parse(text, loss.parameters, [count]).subs({**known, count: classes}))


def _because(why: str) -> str:
    return f": {why}" if why else ""
