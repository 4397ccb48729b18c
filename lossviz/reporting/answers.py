"""Answers of language models as JSON lines: log-probabilities of tokens, and whether it was right.

Each line is one answer as servers in OpenAI's style write it (chat, completions), or an object with
`token_logprobs`, and a key that says whether it is correct. There -9999.0 stands for minus
infinity, null for a token whose log-probability is unknown; NaN is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from ..analysis import sequence_confidence
from .arrays import InputError

RULED_OUT = -9999.0
CORRECT = ("correct", "is_correct", "label", "passed")
"""Keys under which it is looked for whether an answer is right, where none is given."""
Logprobs = Literal["raw", "processed"]
Reading = Literal["total", "mean", "least"]


class Answers(NamedTuple):
    """Confidences in answers (N,), NaN where a token is unknown; whether each is right (N,)."""

    confidence: torch.Tensor
    correct: torch.Tensor
    groups: list[str] | None


def of_lines(path: Path, reading: Reading, correct: str | None, group: str | None) -> Answers:
    """The answers of a file, with exp of the sum, the mean or the least of log-probabilities.

    Raises `InputError` with file and line for what is no such answer.
    """
    logs: list[list[float]] = []
    right: list[int] = []
    groups: list[str] = []
    with path.open(encoding="utf-8") as file:
        try:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                where = f"{path}, line {number}"
                line = _object(where, text)
                logs.append([_number(where, token) for token in _tokens(where, line)])
                right.append(_truth(where, line, correct))
                if group is not None:
                    if group not in line:
                        raise InputError(f"{where} has no key {group!r}, it holds {[*line]}")
                    groups.append(str(line[group]))
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text in UTF-8: {error}") from None
    if not logs:
        raise InputError(f"{path} has no lines")
    width = max(map(len, logs))
    values = torch.tensor([[*log, *[0.0] * (width - len(log))] for log in logs]).double()
    kept = torch.arange(width) < torch.tensor([[len(log)] for log in logs])
    unknown = values.isnan().any(-1)
    known = sequence_confidence(values.nan_to_num(0.0, neginf=-torch.inf), kept)
    confidence = torch.where(unknown, torch.nan, getattr(known, reading).exp().clamp_max(1))
    return Answers(confidence, torch.tensor(right), groups or None)


def _object(where: str, text: str) -> Mapping[str, Any]:
    def named(name: str) -> float:
        if name == "-Infinity":
            return -math.inf
        raise InputError(f"{where} holds {name}, which is no log-probability")

    try:
        found = json.loads(text, parse_constant=named)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{where} must be an object, got {type(found).__name__}")
    return found


def _tokens(where: str, line: Mapping[str, Any]) -> list[Any]:
    """The log-probabilities of the tokens, as they stand there."""
    found: Any = line
    body = line.get("response", line)  # batches of OpenAI wrap it
    body = body.get("body", body) if isinstance(body, dict) else line
    choices = body.get("choices") if isinstance(body, dict) else None
    if isinstance(choices, list):
        if len(choices) != 1:
            raise InputError(f"{where} holds {len(choices)} choices, expected one answer per line")
        found = choices[0].get("logprobs") if isinstance(choices[0], dict) else None
    if isinstance(found, dict) and isinstance(found.get("content"), list):
        found = [
            each.get("logprob") if isinstance(each, dict) else each for each in found["content"]
        ]
    elif isinstance(found, dict):
        found = found.get("token_logprobs")
    if not isinstance(found, list) or not found:
        raise InputError(
            f"{where} has no log-probabilities of tokens: expected choices[0].logprobs.content, "
            f"choices[0].logprobs.token_logprobs or token_logprobs, it holds {[*line]}"
        )
    return found


def _number(where: str, token: Any) -> float:
    if token is None:
        return math.nan
    if isinstance(token, bool) or not isinstance(token, (int, float)) or token > 1e-6:
        raise InputError(f"{where}: {token!r} is no log-probability, expected a number up to 0")
    return -math.inf if token <= RULED_OUT else min(float(token), 0.0)


def _truth(where: str, line: Mapping[str, Any], key: str | None) -> int:
    known = [name for name in line if name == key or (key is None and name in CORRECT)]
    if len(known) != 1:
        raise InputError(
            f"{where} must say under one key whether the answer is right, "
            f"{'expected ' + repr(key) if key else 'usually ' + repr(CORRECT[0])}; it holds "
            f"{[*line]}: say --labels KEY"
        )
    value = line[known[0]]
    if value not in (0, 1):
        raise InputError(f"{where}: {known[0]} must be true, false, 0 or 1, got {value!r}")
    return int(value)
