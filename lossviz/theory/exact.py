r"""The exact transform: the least surrogate regret that a zero-one regret beta can come with.

The infimum runs over all distributions on n classes and all scores, at one point x. The theorem's
transform is a lower bound of it, attained for tau in [0, 1], for n = 2 with tau < 2, and for
tau = 2 with beta <= 1/(n - 1). Elsewhere it is loose, by (n/2)^(tau - 1) for 1 < tau <= 3/2.

Everything here is our own derivation, not the paper's. Write class 0 for a most probable class and
class 1 for the predicted one, p_0 - p_1 = beta. By the pooling rule the regret is a difference of
a-norms, a = 1/(2 - tau).

* tau <= 1, or n = 2 and tau < 2: the theorem's transform, attained at
  ((1+beta)/2, (1-beta)/2, 0, ..., 0).
* 1 < tau <= 3/2: the same distribution. Pooling r classes of mean mu lowers the sum of p^a by at
  least p_0^a + p_1^a - 2 v^a, where v = (p_0 + p_1)/2 (Jensen's inequality for the other pooled
  classes and twice v). As v <= 1/2 and a <= 2, this is least at v = 1/2: the second derivative of
  x^a does not rise with x. The sum that is left is at most (1/2)^(a - 1), as two classes share the
  largest pooled probability; and x^(1/a) is concave.
* 3/2 < tau < 2: with the pooled classes fixed the regret falls when the remaining ones are at the
  extremes (zero, or the pool's mean, but for one) and when the pooled ones between p_0 and p_1 are
  equal. This leaves (M, M - beta, c, ..., c, f, 0, ..., 0) with j copies of c, the power mean of
  order a - 1 of the first two. Dense scans never found a positive f of use, and it is taken to be 0
  here: the value is that of a distribution (so never below the infimum), the infimum by experience.
* tau >= 2: the flattest distribution with that lead, M = max(beta, (1 + beta)/n), in closed form.
  For fixed M filling the other classes up to M one by one leaves least regret, and each of the
  candidates for it grows with M.

For many points x the bound concerns the convex envelope of this function of beta. The theorem's
transform is convex; the exact one is convex for tau <= 3/2, and for n = 2 up to tau = 2. For n = 2
and tau > 2, and for n >= 3 from tau = 1.67 on (by computation; at 1.66 it still is), it is not.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from ..declaration.arrays import Array, like
from ..losses.logits.compsum import TAU
from .checks import check_beta, check_classes
from .transforms import log_power_mean, transform


def comp_sum_transform_exact_inf(beta: Array, *, tau: float, n: int) -> Any:
    """The exact transform of the comp-sum loss: infimum over all distributions.

    Parameters
    ----------
    beta : array in [0, 1], any shape.
    tau : number in [0, inf).
    n : integer >= 2, number of classes.

    Returns
    -------
    Array like `beta`, never below `comp_sum_transform`. Raises ValueError for beta outside [0, 1],
    tau < 0 or n < 2.
    """
    tau, n, b = TAU.check(tau), check_classes(n), check_beta(beta)
    if tau <= 1.5 or (n == 2 and tau < 2):
        return like(transform(b, tau, 2), beta)
    values = _family(b, tau, n)[0] if tau < 2 else _flattest_regret(b, tau, n)
    return like(values.amin(-1), beta)


def comp_sum_extremal_distribution(beta: Array, *, tau: float, n: int) -> Any:
    """The distribution that attains `comp_sum_transform_exact_inf`.

    Returns
    -------
    Array (..., n) for `beta` of shape (...): class 0 is a most probable one, class 1 the prediction
    whose regret is least, and entry 0 exceeds entry 1 by beta. Arguments and errors as there.
    """
    tau, n, b = TAU.check(tau), check_classes(n), check_beta(beta)
    rank = torch.arange(n - 2, device=b.device)
    if tau >= 2:
        top = torch.maximum(b, (1 + b) / n)
        left = (1 - 2 * top + b).unsqueeze(-1)
        rest = (left - rank * top.unsqueeze(-1)).clamp(min=0.0)
        rest = torch.minimum(rest, top.unsqueeze(-1))
    elif tau <= 1.5 or n == 2:
        top, rest = (1 + b) / 2, torch.zeros(*b.shape, n - 2, dtype=b.dtype, device=b.device)
    else:
        values, middle, shared = _family(b, tau, n)
        copies = values.argmin(-1, keepdim=True)
        top = middle.gather(-1, copies).squeeze(-1) + b / 2
        rest = torch.where(rank < copies, shared.gather(-1, copies), 0.0)
    return like(torch.cat([torch.stack([top, top - b], -1), rest], -1), beta)


def _flattest_regret(beta: torch.Tensor, tau: float, n: int) -> torch.Tensor:
    """tau >= 2: regret (..., n) at the flattest distribution of a softmax uniform on m classes."""
    beta = beta.unsqueeze(-1)
    m = torch.arange(1, n + 1, dtype=beta.dtype, device=beta.device)
    top = torch.maximum(beta, (1 + beta) / n)
    # top - (m top - beta) m^(1 - tau), arranged so that small beta keep their digits
    partial = beta * m ** (1 - tau) - top * torch.expm1((2 - tau) * m.log())
    return torch.where(m * top - beta <= 1, partial, top - m ** (1 - tau)) / (tau - 1)


def _family(
    beta: torch.Tensor, tau: float, n: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """3/2 < tau < 2: for j = 0 .. n - 2 copies, the regret, the mean of p_0 and p_1, and c.

    Each is (..., n - 1). The total mass fixes the mean v of p_0 and p_1 = v(1 +- b), b = beta/(2v);
    where p_1 would be negative, v = beta/2 and c takes what is left.
    """
    beta = beta.unsqueeze(-1)
    a = 1 / (2 - tau)
    j = torch.arange(n - 1, dtype=beta.dtype, device=beta.device)
    m = j + 2

    def spread(v: torch.Tensor, order: float) -> torch.Tensor:
        return log_power_mean((beta / (2 * v).clamp(min=1e-300)).clamp(max=1.0), order)

    low = torch.maximum(beta / 2, 1 / (2 * j + 2))
    high = torch.maximum(low, 1 / m)
    for _ in range(60):
        v = (low + high) / 2
        heavy = v * (2 + j * spread(v, a - 1).exp()) > 1
        low, high = torch.where(heavy, low, v), torch.where(heavy, v, high)
    v = low
    inside = beta / 2 * (2 + j * spread(beta / 2, a - 1).exp()) < 1
    # Logarithms of m v and m c; inside, without the cancellation in c = (1 - 2 v)/j.
    log_c_over_v = spread(v, a - 1)
    log_v = torch.where(inside, -torch.log1p(j / m * torch.expm1(log_c_over_v)), (m * v).log())
    left = ((1 - 2 * v) / j.clamp(min=1.0)).clamp(min=0.0)
    log_c = torch.where(inside, log_v + log_c_over_v, (m * left).log())
    pair, rest = a * (log_v + spread(v, a)), a * log_c.where(j > 0, 0.0)
    near = torch.log1p((2 * torch.expm1(pair) + j * torch.expm1(rest)) / m)
    far = torch.logaddexp(pair + math.log(2), rest + j.log()) - m.log()
    power_sum = torch.where((pair.abs() < 1) & (rest.abs() < 1), near, far)
    return m ** (1 - tau) * torch.expm1(power_sum / a) / (tau - 1), v, log_c.exp() / m
