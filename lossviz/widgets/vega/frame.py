"""Small parts of a Vega spec that every figure writes."""

from __future__ import annotations


def formula(name: str, expression: str) -> dict[str, str]:
    """A Vega transform that adds a field."""
    return {"type": "formula", "as": name, "expr": expression}


def signal(name: str, expression: str) -> dict[str, str]:
    """A Vega signal that follows an expression."""
    return {"name": name, "update": expression}
