"""Small transformers that foresee the next character, side by side, each at its own learning rate.

Pre-norm blocks without biases, learned places, Adam. A step too large for one run harms that run
alone, so that a whole grid of learning rates trains at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy, layer_norm

from ..analysis.entropies import entropy
from .networks import as_generator
from .text import genesis

BETAS, EPS = (0.9, 0.95), 1e-8


def genesis_characters() -> tuple[torch.Tensor, str]:
    """The text of Genesis as labels (N,) of characters, in lower case, and the alphabet."""
    text = " ".join(genesis())
    alphabet = "".join(sorted(set(text)))
    place = {character: label for label, character in enumerate(alphabet)}
    return torch.tensor([place[c] for c in text]), alphabet


class Read(NamedTuple):
    """Scores of the next character (R, B, T, V), and of attention: one (R, B, H, T, T) per layer.

    What lies ahead has the attention score -inf.
    """

    logits: torch.Tensor
    scores: list[torch.Tensor]


class Transformers(torch.nn.Module):
    """R transformers side by side that share nothing: labels (R, B, T) to `Read`.

    Parameters
    ----------
    alphabet : V, how many characters; context : the largest T.
    width, heads, layers : of the residual stream, a multiple of the heads; of attention; of blocks.
    qk_layernorm : whether queries and keys pass a layer norm with learned gains, default False.
    starts, copies : R is their product: `starts` draws of first weights, each `copies` times.
    seed : an int or a generator to draw from.
    """

    def __init__(
        self,
        alphabet: int,
        context: int,
        *,
        width: int = 32,
        heads: int = 2,
        layers: int = 2,
        qk_layernorm: bool = False,
        starts: int = 1,
        copies: int = 1,
        seed: int | torch.Generator = 0,
    ) -> None:
        super().__init__()
        generator = as_generator(seed)
        self.heads, self.runs = heads, starts * copies

        def drawn(*shape: int, deviation: float) -> torch.nn.Parameter:
            first = deviation * torch.randn(starts, *shape, generator=generator)
            return torch.nn.Parameter(first.repeat_interleave(copies, 0))

        usual = 1 / math.sqrt(width)
        self.embedding = drawn(alphabet, width, deviation=1.0)
        self.places = drawn(context, width, deviation=1.0)
        self.into = torch.nn.ParameterList(
            drawn(width, 3 * width, deviation=usual) for _ in range(layers)
        )
        self.out = torch.nn.ParameterList(
            drawn(width, width, deviation=usual / layers) for _ in range(layers)
        )
        self.up = torch.nn.ParameterList(
            drawn(width, 4 * width, deviation=usual) for _ in range(layers)
        )
        self.down = torch.nn.ParameterList(
            drawn(4 * width, width, deviation=usual / 2 / layers) for _ in range(layers)
        )
        self.head = drawn(width, alphabet, deviation=usual / 10)
        self.gains = torch.nn.ParameterList(
            torch.nn.Parameter(torch.ones(self.runs, 2, 1, width))
            for _ in range(layers if qk_layernorm else 0)
        )

    def forward(self, labels: torch.Tensor) -> Read:
        """Read labels (R, B, T)."""
        runs, batch, length = labels.shape
        run = torch.arange(runs)[:, None]
        width = self.head.shape[1]
        x = self.embedding[run, labels.flatten(1)].unflatten(1, (batch, length))
        x = (x + self.places[:, None, :length]).flatten(1, 2)
        ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = []
        for layer in range(len(self.into)):
            qkv = torch.bmm(layer_norm(x, (width,)), self.into[layer])
            q, k, v = qkv.chunk(3, -1)
            if len(self.gains):
                q, k = (
                    self._per_head(one) * self.gains[layer][:, side]
                    for side, one in enumerate((q, k))
                )
            q, k, v = (
                one.view(runs, batch, length, self.heads, -1).transpose(2, 3).flatten(0, 2)
                for one in (q, k, v)
            )
            score = torch.bmm(q, k.mT) / math.sqrt(q.shape[-1])
            score = score.masked_fill(ahead, -torch.inf)
            scores.append(score.view(runs, batch, self.heads, length, length))
            mixed = torch.bmm(score.softmax(-1), v).view(runs, batch, self.heads, length, -1)
            x = torch.baddbmm(x, mixed.transpose(2, 3).reshape(x.shape), self.out[layer])
            inner = torch.bmm(layer_norm(x, (width,)), self.up[layer]).relu()
            x = torch.baddbmm(x, inner, self.down[layer])
        logits = torch.bmm(layer_norm(x, (width,)), self.head)
        return Read(logits.view(runs, batch, length, -1), scores)

    def _per_head(self, one: torch.Tensor) -> torch.Tensor:
        split = one.unflatten(-1, (self.heads, -1))
        return layer_norm(split, split.shape[-1:]).flatten(-2)


class Course(NamedTuple):
    """What was measured on the held-out text at each look (K, R), in nats.

    `loss` cross-entropy; `attention` (K, R, L, H) mean entropy of the attention rows; `largest` the
    largest attention score; `normaliser` root mean square of log Z. NaN where a run has failed.
    """

    steps: tuple[int, ...]
    loss: torch.Tensor
    attention: torch.Tensor
    largest: torch.Tensor
    normaliser: torch.Tensor


def learn(
    model: Transformers,
    text: torch.Tensor,
    held_out: torch.Tensor,
    rates: torch.Tensor,
    *,
    steps: int,
    batch: int = 8,
    z_loss: float = 0.0,
    clip: float = math.inf,
    warm_up: float = 0.0,
    looks: Collection[int] = (),
    seed: int | torch.Generator = 0,
) -> Course:
    """Train with Adam, its rate falling linearly to 0, and look at the held-out text.

    Parameters
    ----------
    text : labels (N,); held_out : windows (B, T + 1) of other text.
    rates : learning rates (C,), one for each copy of a start, which all see the same batches.
    batch : windows in each step, drawn at random.
    z_loss : weight of the mean square of log Z. clip : largest norm of a run's gradient.
    warm_up : share of the steps in which the rate rises from 0.
    looks : steps after which to look, 0 for the start; the last is always looked at.
    """
    generator = as_generator(seed)
    starts = model.runs // len(rates)
    each = rates.repeat(starts)
    length = held_out.shape[1] - 1
    parameters = list(model.parameters())
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    warm = round(warm_up * steps)
    at = sorted({*looks, steps})
    seen = [_look(model, held_out)] if 0 in at else []
    for step in range(1, steps + 1):
        first = torch.randint(len(text) - length, (starts, batch, 1), generator=generator)
        windows = text[first + torch.arange(length + 1)].repeat_interleave(len(rates), 0)
        logits = model(windows[..., :-1]).logits
        # the sum over the runs: each descends on its own mean
        loss = model.runs * cross_entropy(logits.flatten(0, 2), windows[..., 1:].flatten())
        if z_loss:
            loss = loss + z_loss * logits.logsumexp(-1).square().mean((1, 2)).sum()
        gradients = torch.autograd.grad(loss, parameters)
        squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients])
        norm = squares.sum(0).sqrt()
        factor = (clip / norm).clamp_max(1.0)
        pace = min(step / warm if warm else 1.0, 1 - (step - 1 - warm) / (steps - warm))
        with torch.no_grad():
            for p, g, (mean, square) in zip(parameters, gradients, moments, strict=True):
                g = g * _beside(factor, g)
                mean.lerp_(g, 1 - BETAS[0])
                square.lerp_(g.square(), 1 - BETAS[1])
                scale = (square / (1 - BETAS[1] ** step)).sqrt_().add_(EPS)
                p.sub_(_beside(pace * each, p) * (mean / (1 - BETAS[0] ** step)) / scale)
        if step in at:
            seen.append(_look(model, held_out))
    return Course(tuple(at), *(torch.stack(one) for one in zip(*seen, strict=True)))


def _beside(per_run: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    return per_run.view(-1, *[1] * (p.ndim - 1))


@torch.no_grad()
def _look(model: Transformers, held_out: torch.Tensor) -> tuple[torch.Tensor, ...]:
    windows = held_out.expand(model.runs, *held_out.shape)
    logits, scores = model(windows[..., :-1])
    loss = -logits.log_softmax(-1).gather(-1, windows[..., 1:, None]).mean((1, 2, 3))
    attention = torch.stack([entropy(s).mean((1, 3)) for s in scores], 1)
    largest = torch.stack([s.flatten(1).amax(1) for s in scores]).amax(0)
    return loss, attention, largest, logits.logsumexp(-1).square().mean((1, 2)).sqrt()
