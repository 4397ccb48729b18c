"""Calibrators of logits: what to do to them so that their softmax can be believed.

Each is fitted on held-out logits (N, K) and labels (N,), changes logits of any leading axes, and
keeps what it found as plain arrays in `parameters`, to be saved and handed to the constructor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import torch

from ..declaration import CLASS_LOGITS, Argument, Inputs
from ..declaration.kinds import LOGITS
from .binned import WEIGHT

PREDICTED = Inputs(Argument("logits", LOGITS, "... K"))
HELD_OUT = CLASS_LOGITS.with_optional(WEIGHT)
Parameters = dict[str, torch.Tensor]


class Calibrator(ABC):
    """`fit` finds the `parameters`, `transform` applies them to logits (..., K).

    `transform` returns logits in the dtype of what it gets. Before `fit` it raises RuntimeError.
    `of_logits` says what both take, and `of_copies` whether they take logits of transformed copies.
    """

    of_logits: ClassVar[bool] = True
    of_copies: ClassVar[bool] = False

    def __init__(self, **parameters: torch.Tensor) -> None:
        self.parameters: Parameters = dict(parameters)

    @abstractmethod
    def fit(self, logits: torch.Tensor, target: torch.Tensor, *, ignore_index: int = -100) -> Self:
        """Find the parameters from held-out rows; return self."""

    @abstractmethod
    def transform(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated logits of the shape and dtype of `logits`."""

    def fitted(self, device: torch.device) -> Parameters:
        """The parameters on this device; raises RuntimeError before `fit`."""
        if not self.parameters:
            raise RuntimeError(f"{type(self).__name__} must be fitted first: call fit")
        return {name: value.to(device) for name, value in self.parameters.items()}


class Scaling(Calibrator):
    """A calibrator whose parameters have the least cross-entropy of the held-out rows."""

    @abstractmethod
    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor: ...

    @abstractmethod
    def _start(self, classes: int) -> Parameters:
        """Parameters that change nothing."""

    def _penalty(self, parameters: Parameters, rows: int) -> torch.Tensor | float:
        return 0.0

    def fit(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
        ignore_index: int = -100,
    ) -> Self:
        """Find the parameters of least mean cross-entropy plus penalty, in float64; return self.

        `weight` (...) are weights of the rows, on any scale, for a weighted mean. Raises as
        `lossviz.losses.cross_entropy` does, ValueError for NaN, infinite logits, no rows or weights
        that are negative, not finite or all 0, and RuntimeError where there is no optimum (see the
        class).
        """
        with torch.inference_mode(False):  # the search needs slopes
            z, y, share = checked(logits, target, ignore_index, weight)
            self.parameters = minimise(
                lambda at: share @ _nll(self._apply(z, at), y) + self._penalty(at, len(z)),
                self._start(z.shape[-1]),
            )
        return self

    def transform(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrated logits of the shape and dtype of `logits`.

        Raises TypeError for what is not a floating tensor, ValueError for other classes than those
        of the fit.
        """
        wide = PREDICTED.check({"logits": logits})["logits"].double()
        placed = self.fitted(wide.device)
        wanted = self._start(wide.shape[-1])
        if any(value.shape != wanted[name].shape for name, value in placed.items()):
            raise ValueError(f"logits must have the classes of the fit, got {tuple(wide.shape)}")
        return self._apply(wide, placed).to(logits.dtype)


class TemperatureScaling(Scaling):
    """Logits divided by one temperature T > 0: the order of classes stays.

    log T is searched for between -`reach` and `reach` (default log 1000). Where the best is at an
    end, `fit` raises RuntimeError: at T -> 0 the held-out rows are all right (separable), at T ->
    inf the logits say less than nothing. Source: Guo, Pleiss, Sun and Weinberger (2017), section 4.
    """

    reach: ClassVar[float] = math.log(1000.0)

    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        return logits / parameters["temperature"]

    def _start(self, classes: int) -> Parameters:
        return {"temperature": torch.ones((), dtype=torch.float64)}

    def fit(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        *,
        weight: torch.Tensor | None = None,
        ignore_index: int = -100,
    ) -> Self:
        """As `Scaling.fit`; the negative log-likelihood is convex in 1/T, so its slope decides.

        Also raises RuntimeError where T has no finite positive optimum.
        """
        z, y, share = checked(logits, target, ignore_index, weight)

        def slope(log_t: float) -> float:
            """Of the mean NLL, by 1/T: confidence-weighted logits minus those of the labels."""
            p = (z / math.exp(log_t)).softmax(-1)
            at_label = z.gather(-1, y[:, None])[:, 0]
            return float(share @ (p * (z - at_label[:, None])).sum(-1))

        low, high = -self.reach, self.reach
        if (z == z[:, :1]).all():
            raise RuntimeError(
                "every temperature is as good as another: the logits of each row are all equal"
            )
        if slope(low) <= 0:
            raise RuntimeError(
                "temperature goes to 0: the largest logit is the label's in every row, and no "
                "finite temperature is best; hold out more rows"
            )
        if slope(high) >= 0:
            raise RuntimeError(
                "temperature goes to infinity: the logits say no more about the labels than "
                "chance; look at the order of rows and labels"
            )
        while high - low > 1e-13 * max(1.0, abs(low)):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        self.parameters = {"temperature": torch.tensor(math.exp(high), dtype=torch.float64)}
        return self


class VectorScaling(Scaling):
    """A scale and a bias for each class: weight * logits + bias.

    `bias_penalty` times the mean square of the bias is added to what is minimised, default 0.
    Without a penalty few rows are separable, and `fit` raises RuntimeError. Source: Guo et al.
    (2017), section 4.2.
    """

    def __init__(self, *, bias_penalty: float = 0.0, **parameters: torch.Tensor) -> None:
        super().__init__(**parameters)
        self.bias_penalty = _penalty("bias_penalty", bias_penalty)

    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        return logits * parameters["weight"] + parameters["bias"]

    def _start(self, classes: int) -> Parameters:
        one = torch.ones(classes, dtype=torch.float64)
        return {"weight": one, "bias": torch.zeros_like(one)}

    def _penalty(self, parameters: Parameters, rows: int) -> torch.Tensor:
        return self.bias_penalty * parameters["bias"].square().mean()


class MatrixScaling(VectorScaling):
    """A matrix and a bias: logits @ weight.T + bias.

    `off_diagonal_penalty` times the mean square of the K(K - 1) entries off the diagonal is added,
    default 0. Source: Guo et al. (2017), section 4.2; the penalty is that of Kull et al. (2019).
    """

    def __init__(
        self,
        *,
        off_diagonal_penalty: float = 0.0,
        bias_penalty: float = 0.0,
        **parameters: torch.Tensor,
    ) -> None:
        super().__init__(bias_penalty=bias_penalty, **parameters)
        self.off_diagonal_penalty = _penalty("off_diagonal_penalty", off_diagonal_penalty)

    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        return logits @ parameters["weight"].mT + parameters["bias"]

    def _start(self, classes: int) -> Parameters:
        one = torch.eye(classes, dtype=torch.float64)
        return {"weight": one, "bias": torch.zeros_like(one[0])}

    def _penalty(self, parameters: Parameters, rows: int) -> torch.Tensor:
        weight = parameters["weight"]
        off = weight - weight.diagonal().diag()
        count = max(1, weight.numel() - len(weight))
        term = self.off_diagonal_penalty * off.square().sum() / count
        return term + super()._penalty(parameters, rows)


class DirichletScaling(MatrixScaling):
    """Matrix scaling of the log-probabilities. Source: Kull et al. (2019), section 3."""

    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        return super()._apply(logits.log_softmax(-1), parameters)


class StructuredScaling(Scaling):
    """Temperature scaling plus small departures from it: (scale I + weight) log p + bias.

    `ridge` times the sum of squares of weight and bias, over the number of rows (whatever weights
    they have in `fit`), is added to what is minimised (a normal prior of variance 1 / (2 ridge));
    the scale, 1/T, is free. So few rows give temperature scaling and many give Dirichlet scaling.
    Raises RuntimeError where the rows are separable. Our reading of the structure that Berta et al.
    (2025) give their penalties, with one ridge in the place of three.
    """

    def __init__(self, *, ridge: float = 1.0, **parameters: torch.Tensor) -> None:
        super().__init__(**parameters)
        self.ridge = _penalty("ridge", ridge)

    def _apply(self, logits: torch.Tensor, parameters: Parameters) -> torch.Tensor:
        log_p = logits.log_softmax(-1)
        return parameters["scale"] * log_p + log_p @ parameters["weight"].mT + parameters["bias"]

    def _start(self, classes: int) -> Parameters:
        none = torch.zeros(classes, classes, dtype=torch.float64)
        return {"scale": none.new_ones(()), "weight": none, "bias": none[0].clone()}

    def _penalty(self, parameters: Parameters, rows: int) -> torch.Tensor:
        squares = parameters["weight"].square().sum() + parameters["bias"].square().sum()
        return self.ridge * squares / rows


def _penalty(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number from 0 on, got {value!r}")
    return float(value)


def checked(
    logits: torch.Tensor,
    target: torch.Tensor,
    ignore_index: int,
    weight: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows that count, in float64, their labels, and the share of each in the sum of weights."""
    given = {"logits": logits, "target": target, "weight": weight}
    checked = HELD_OUT.check(given, ignore_index)
    kept = checked.kept
    assert kept is not None
    heavy = kept.double() if weight is None else kept * checked["weight"].double()
    kept = heavy > 0
    z, y, heavy = checked["logits"][kept].double().detach(), checked["target"][kept], heavy[kept]
    if not len(z):
        raise ValueError("logits must have at least one row whose label counts, got none")
    if not z.isfinite().all():
        raise ValueError("logits must be finite where a calibrator is fitted, got NaN or infinity")
    return z, y, heavy / heavy.sum()


def _nll(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, target, reduction="none")


def minimise(
    objective: Callable[[Parameters], torch.Tensor | float],
    start: Parameters,
    lowest: Sequence[float | None] | None = None,
) -> Parameters:
    """The parameters of the least value of a smooth convex objective, each at least `lowest`.

    Raises RuntimeError where the search runs away: then there is no optimum.
    """
    from scipy.optimize import minimize

    shapes = {name: value.shape for name, value in start.items()}
    device = next(iter(start.values())).device

    def unpack(flat: torch.Tensor) -> Parameters:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        return {n: x.reshape(shapes[n]) for n, x in zip(shapes, parts, strict=True)}

    def value_and_slope(values):  # type: ignore[no-untyped-def]
        flat = torch.tensor(values, device=device, requires_grad=True)
        with torch.enable_grad():
            value = objective(unpack(flat))
        assert isinstance(value, torch.Tensor)
        (slope,) = torch.autograd.grad(value, flat)
        return value.item(), slope.cpu().numpy()

    first = torch.cat([value.flatten() for value in start.values()]).cpu().numpy()
    options = {"maxiter": 20000, "maxfun": 100000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30}
    bounds = [(low, None) for low in lowest] if lowest else None
    found = minimize(value_and_slope, first, jac=True, method="L-BFGS-B", options=options,
                     bounds=bounds)  # fmt: skip
    further = 2 * found.x - first  # from the start through what was found, as far again
    if lowest:
        further = further.clip([-math.inf if low is None else low for low in lowest])
    if value_and_slope(further)[0] < found.fun * (1 - 1e-9):
        raise RuntimeError(
            "there is no best calibrator: parameters grow without end because the held-out rows "
            "are separable; hold out more rows, or give a penalty"
        )
    return unpack(torch.tensor(found.x))
