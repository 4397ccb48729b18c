"""Losses of class logits, of pairs of them, and of logits over bins."""
