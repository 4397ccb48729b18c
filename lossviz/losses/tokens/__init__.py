"""Losses of sequences: of token logits, and of the log-probabilities of whole answers."""
