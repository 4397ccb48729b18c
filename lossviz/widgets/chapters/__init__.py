"""Figures of one chapter each."""
