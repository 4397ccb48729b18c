"""Losses of sequences: of token logits, and of the log-probabilities of tokens and of answers."""

from dataclasses import replace

from ...declaration import Argument, Inputs
from ...declaration.kinds import LOG_PROBABILITIES, VALUES

OF_A_TOKEN = replace(LOG_PROBABILITIES, span=(-4.0, 0.0), rest=(-1.5,))
BEFORE = replace(OF_A_TOKEN, learnt=False)
NOW = Argument("logp", OF_A_TOKEN, "...", "Of the drawn tokens, of the policy that learns")
THEN = Argument("old_logp", BEFORE, "...", "The same when they were drawn")
DRAWN_TOKENS = Inputs(NOW, THEN, Argument("advantage", VALUES, "...", "Of each token"))
