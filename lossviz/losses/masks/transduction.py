"""Few-shot segmentation on the image itself: labelled pixels, decided pixels, and how many."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...declaration import Argument, Inputs, row_dtype
from ...declaration.kinds import DISTRIBUTIONS, PROBABILITIES, TRUTH

SUPPORT_AND_QUERY = Inputs(
    Argument("support", PROBABILITIES, "N", "Of the foreground, at labelled pixels"),
    Argument("mask", TRUTH, "N", "Which of them are foreground"),
    Argument("query", PROBABILITIES, "M", "Of the foreground, at pixels of the image to segment"),
    Argument("prior", DISTRIBUTIONS, "K", "Shares of background and foreground, in this order"),
)


class TransductiveTerms(NamedTuple):
    """Cross-entropy of the support, entropy of the query, and the divergence of its shares.

    `marginal` (2,) are the mean probabilities of the query, background first.
    """

    ce: torch.Tensor
    entropy: torch.Tensor
    kl: torch.Tensor
    marginal: torch.Tensor

    def loss(
        self, *, ce_weight: float = 1.0, kl_weight: float = 1.0, entropy_weight: float = 1.0
    ) -> torch.Tensor:
        """The weighted sum; with more than one shot the last two are published as 1 / shots."""
        return ce_weight * self.ce + kl_weight * self.kl + entropy_weight * self.entropy


def repri(
    support: torch.Tensor, mask: torch.Tensor, query: torch.Tensor, prior: torch.Tensor
) -> TransductiveTerms:
    r"""The three terms of transductive few-shot segmentation (RePRI), in nats.

    .. math:: -\overline{\log p_y} + \mathrm{KL}(\hat\pi \,\Vert\, \pi) + \overline{H(p)},
              \qquad \hat\pi = \overline{p}

    `support` (N,) are probabilities of the foreground at labelled pixels and `mask` (N,) 0 or 1
    there, `query` (M,) probabilities at the pixels of another image, `prior` (2,) the shares of
    background and foreground that are believed, summing to 1.

    Entropy alone is least where all pixels are one class; the divergence holds it back. A
    probability of exactly 0 contributes nothing to entropy and divergence, against a prior of 0
    the divergence is inf. The published code adds 1e-10 inside its logarithms.

    Raises TypeError for what is not a tensor of the right dtype, ValueError for other shapes,
    values out of range, or a set without pixels. Source: Boudiaf et al. (2021), eq. 1 to 4.
    """
    given = {"support": support, "mask": mask, "query": query, "prior": prior}
    checked = SUPPORT_AND_QUERY.check(given)
    if len(checked["prior"]) != 2 or not len(checked["support"]):
        raise ValueError(
            "support must have pixels and prior two shares, got shapes "
            f"{tuple(support.shape)} and {tuple(prior.shape)}"
        )
    dtype = row_dtype(support)
    p, q, shares = (checked[name].to(dtype) for name in ("support", "query", "prior"))
    nll = -torch.where(checked["mask"], p.log(), torch.log1p(-p)).mean()
    both = torch.stack([1 - q, q], -1)
    entropy = torch.special.entr(both).sum(-1).mean()
    marginal = both.mean(0)
    divergence = -(torch.special.entr(marginal) + torch.special.xlogy(marginal, shares)).sum()
    return TransductiveTerms(
        nll.to(support.dtype), entropy.to(query.dtype), divergence.to(query.dtype), marginal
    )
