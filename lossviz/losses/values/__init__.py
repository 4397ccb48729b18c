"""Losses of predicted numbers."""
