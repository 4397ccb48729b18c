"""The explorer of JupyterLab: torch losses of three class logits, one or several compared."""
