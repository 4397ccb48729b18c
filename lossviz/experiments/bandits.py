"""Softmax policies on trees of tokens, small enough that every expectation is a sum.

A tree has P prompts, V tokens and answers of L tokens; with L = 1 it is a bandit with P states and
V arms. A policy is one row of logits for each prefix. All is float64 and vectorised over runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..declaration.arrays import Array, as_tensor
from ..declaration.numbers import check_count


class Draws(NamedTuple):
    """Answers (R, P, n) and their tokens (R, P, n, L), as indices into the table of logits.

    `chance` (R, P, n) are weights that sum to 1 for each prompt: 1/n of answers that were drawn,
    the probabilities of answers where all are listed.
    """

    token: torch.Tensor
    state: torch.Tensor
    reward: torch.Tensor
    chance: torch.Tensor
    drawn: bool


class Tree:
    """Rewards (P, V, ..., V) of the answers to P prompts, each of as many tokens as there are V."""

    def __init__(self, reward: Array) -> None:
        table = as_tensor("reward", reward)
        if table.ndim < 2 or len(set(table.shape[1:])) > 1 or min(table.shape) < 1:
            raise ValueError(f"reward must be (P, V, ..., V), got {tuple(table.shape)}")
        if table.shape[1] < 2:
            raise ValueError("reward must leave a choice: V >= 2 tokens, got 1")
        if not table.isfinite().all():
            raise ValueError("reward must be finite")
        self.prompts, self.arms, self.length = len(table), table.shape[1], table.ndim - 1
        self.reward = table.reshape(self.prompts, -1)
        sizes = [self.prompts * self.arms**t for t in range(self.length)]
        self.starts = [sum(sizes[:t]) for t in range(self.length)]
        self.states = sum(sizes)
        self._sizes = sizes

    def logits(self, *, runs: int = 1, scale: float = 0.0, seed: int = 0) -> torch.Tensor:
        """Logits (R, S, V) of a policy at the start: normal numbers times `scale`."""
        generator = torch.Generator().manual_seed(seed)
        shape = (check_count("runs", runs, 1), self.states, self.arms)
        return scale * torch.randn(shape, generator=generator, dtype=torch.float64)

    def visits(self, policy: torch.Tensor) -> torch.Tensor:
        """The chance (R, S) that an answer passes through each state, prompts being alike."""
        runs = len(policy)
        level = policy.new_full((runs, self.prompts), 1 / self.prompts)
        found = []
        for start, size in zip(self.starts, self._sizes, strict=True):
            found.append(level)
            level = (level.unsqueeze(-1) * policy[:, start : start + size]).flatten(1)
        return torch.cat(found, 1)

    def answers(self, policy: torch.Tensor) -> torch.Tensor:
        """The probability (R, P, V^L) of every answer."""
        chance = policy.new_ones(len(policy), self.prompts)
        for start, size in zip(self.starts, self._sizes, strict=True):
            chance = (chance.unsqueeze(-1) * policy[:, start : start + size]).flatten(1)
        return chance.unflatten(1, (self.prompts, -1))

    def advantage(self, policy: torch.Tensor) -> torch.Tensor:
        """Q - V (R, S, V): what each token adds to the expected reward of its prefix."""
        values = self.reward.reshape(1, -1).expand(len(policy), -1)
        found = []
        for start, size in reversed(list(zip(self.starts, self._sizes, strict=True))):
            q = values.reshape(len(policy), size, self.arms)
            values = (policy[:, start : start + size] * q).sum(-1)
            found.append(q - values.unsqueeze(-1))
        return torch.cat(found[::-1], 1)

    def gradient(self, policy: torch.Tensor) -> torch.Tensor:
        """The gradient (R, S, V) of the expected reward by the logits: visits * policy * A."""
        return self.visits(policy).unsqueeze(-1) * policy * self.advantage(policy)

    def expected_reward(self, policy: torch.Tensor) -> torch.Tensor:
        """The mean reward (R,) over prompts and answers."""
        return (self.answers(policy) * self.reward).sum(-1).mean(-1)

    def entropy(self, policy: torch.Tensor) -> torch.Tensor:
        """The mean entropy (R,) of the tokens of an answer, in nats."""
        each = -torch.special.xlogy(policy, policy).sum(-1)
        return (self.visits(policy) * each).sum(-1) / self.length

    def pass_at(self, policy: torch.Tensor, attempts: int) -> torch.Tensor:
        """The chance (R,) that one of so many answers earns more than half of the best reward."""
        right = self.reward > self.reward.amax(-1, keepdim=True) / 2
        p = (self.answers(policy) * right).sum(-1).clamp(0, 1)
        return -torch.expm1(check_count("attempts", attempts, 1) * torch.log1p(-p)).mean(-1)

    def effective_answers(self, policy: torch.Tensor) -> torch.Tensor:
        """How many right answers are in use (R,): exp of the entropy among them, over prompts."""
        right = self.reward > self.reward.amax(-1, keepdim=True) / 2
        p = self.answers(policy) * right
        p = p / p.sum(-1, keepdim=True)
        return (-torch.special.xlogy(p, p).sum(-1)).exp().mean(-1)

    def every_answer(self, policy: torch.Tensor) -> Draws:
        """All answers with their probabilities: means over them are exact."""
        index = torch.arange(self.arms**self.length)
        shape = (len(policy), self.prompts, len(index))
        return self._listed(index.expand(shape), self.answers(policy), drawn=False)

    def draw(self, policy: torch.Tensor, count: int, generator: torch.Generator) -> Draws:
        """`count` answers to each prompt, drawn from the policy."""
        runs = len(policy)
        rows = torch.arange(self.states, dtype=policy.dtype)
        # one sorted row for each run, state after state, so that one search serves all tokens
        ladder = (policy.cumsum(-1) + rows[:, None]).flatten(1)
        place = torch.zeros(runs, self.prompts, count, dtype=torch.int64)
        prompt = torch.arange(self.prompts)[:, None]
        for start, size in zip(self.starts, self._sizes, strict=True):
            state = start + prompt * (size // self.prompts) + place
            point = state + torch.rand(place.shape, generator=generator, dtype=policy.dtype)
            found = torch.searchsorted(ladder, point.flatten(1)).view_as(place)
            place = place * self.arms + (found - state * self.arms).clamp(0, self.arms - 1)
        chance = torch.full((), 1 / count, dtype=policy.dtype).expand(place.shape)
        return self._listed(place, chance, drawn=True)

    def _listed(self, place: torch.Tensor, chance: torch.Tensor, drawn: bool) -> Draws:
        states, tokens = [], []
        prompt = torch.arange(self.prompts)[:, None]
        for t, (start, size) in enumerate(zip(self.starts, self._sizes, strict=True)):
            prefix = place // self.arms ** (self.length - t)
            state = start + prompt * (size // self.prompts) + prefix
            token = place // self.arms ** (self.length - t - 1) % self.arms
            states.append(state)
            tokens.append(state * self.arms + token)
        reward = self.reward.flatten()[prompt * self.reward.shape[1] + place]
        return Draws(torch.stack(tokens, -1), torch.stack(states, -1), reward, chance, drawn)


class Tokens(NamedTuple):
    """What a method sees of a batch: tensors (R, P, n, L), or (R, P, n, 1) of whole answers."""

    logp: torch.Tensor
    old_logp: torch.Tensor
    advantage: torch.Tensor
    entropy: torch.Tensor
    chance: torch.Tensor
    drawn: bool
    generator: torch.Generator

    @property
    def ratio(self) -> torch.Tensor:
        """Present over old probability of each token."""
        return (self.logp - self.old_logp).exp()


Weigh = Callable[[Tokens], torch.Tensor]
Pull = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def group_relative(reward: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """Rewards (..., n) less their mean, over their standard deviation: 0 where all are alike."""
    centred = reward - (chance * reward).sum(-1, keepdim=True)
    spread = (chance * centred.square()).sum(-1, keepdim=True).sqrt()
    return centred / (spread + 1e-6)


def centred(reward: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """Rewards (..., n) less their mean."""
    return reward - (chance * reward).sum(-1, keepdim=True)


class Method(NamedTuple):
    """How a batch becomes a step. It keeps no state, so that one serves many runs.

    `advantage` makes advantages of the rewards (R, P, n) of a batch; `weigh` gives what the
    gradient of each token's log-probability is multiplied by; `pull` adds a gradient by the logits
    that depends on the policy alone, with a memory (R, 1, 1) that begins at 0. A `natural` step
    divides by the chance of what it moves.
    """

    weigh: Weigh
    advantage: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = centred
    pull: Pull | None = None
    natural: bool = False


class Course(NamedTuple):
    """The policies (T, R, S, V) of a run after the steps `looks` (T,)."""

    looks: torch.Tensor
    policies: torch.Tensor

    def trace(self, measure: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """A measure of policies, such as `tree.entropy`, at every look: (T, R)."""
        return torch.stack([measure(policy) for policy in self.policies])


def ascend(
    tree: Tree,
    method: Method,
    start: torch.Tensor,
    *,
    steps: int,
    rate: float,
    draws: int | None = 8,
    epochs: int = 1,
    seed: int = 0,
    looks: Sequence[int] = (),
) -> Course:
    """Let a method climb from the logits `start` (R, S, V), which stay as they are.

    Each batch holds `draws` answers to each prompt, or with None every answer with its chance, and
    serves for `epochs` steps; the first of them is on-policy. `looks` are the steps after which the
    policy is kept, by default the first and the last. Runs share nothing but the seed.

    Raises ValueError for counts below 1, a rate that is not positive, logits of another shape and a
    method that cannot do without draws.
    """
    if start.shape[1:] != (tree.states, tree.arms):
        raise ValueError(f"start must be (R, {tree.states}, {tree.arms}), got {tuple(start.shape)}")
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be positive, got {rate!r}")
    check_count("steps", steps, 1)
    check_count("epochs", epochs, 1)
    kept = sorted({0, steps} if not looks else set(looks))
    generator = torch.Generator().manual_seed(seed)
    logits, found = start.double().clone(), []
    memory = logits.new_zeros(len(logits), 1, 1)
    logp = logits.log_softmax(-1)
    for step in range(steps + 1):
        if step in kept:
            found.append(logp.exp())
        if step == steps:
            break
        policy = logp.exp()
        if step % epochs == 0:
            if draws is None:
                batch = tree.every_answer(policy)
            else:
                batch = tree.draw(policy, check_count("draws", draws, 1), generator)
            flat = batch.token.flatten(1)
            old = logp.flatten(1).gather(1, flat).view_as(batch.token)
            advantage = method.advantage(batch.reward, batch.chance).unsqueeze(-1)
        entropy = -(policy * logp).sum(-1)
        tokens = Tokens(
            logp.flatten(1).gather(1, flat).view_as(batch.token),
            old,
            advantage,
            entropy.gather(1, batch.state.flatten(1)).view_as(batch.token),
            batch.chance.unsqueeze(-1),
            batch.drawn,
            generator,
        )
        weight = method.weigh(tokens) * tokens.chance / tree.prompts
        lifted = torch.zeros_like(policy).flatten(1).scatter_add_(1, flat, weight.flatten(1))
        lifted = lifted.view_as(policy)
        if method.natural:
            # expected updates: each token's weight is visits * policy * advantage
            move = lifted / (tree.visits(policy).unsqueeze(-1) * policy).clamp_min(1e-300)
        else:
            move = lifted - policy * lifted.sum(-1, keepdim=True)
        if method.pull is not None:
            further, memory = method.pull(logp, memory)
            move = move + further
        logits = logits + rate * move
        logp = logits.log_softmax(-1)
    return Course(torch.tensor(kept), torch.stack(found))
