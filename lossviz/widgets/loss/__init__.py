"""Figures of one loss, made from its declaration or from a function of your own."""
