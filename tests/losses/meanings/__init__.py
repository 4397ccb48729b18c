"""What the losses mean whose declaration has no symbolic form: data for the tests of values.

Each is written from the definition in plain arithmetic on numbers of many digits, with no torch and
no thought of speed, and has the name of its loss. A loss whose rows are apart is the function of
one row (its inputs without the axis of the rows), returning one number; a coupled one takes the
batch and returns a list of row losses; one without rows returns one number. Tensors arrive as
nested lists, labels as int, masks as bool, learnt numbers as `Dual`, which carries the gradient
along. A test fails for a loss that has neither a form nor an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import logits, masks, sequences, vectors

MEANINGS: Mapping[str, Callable[..., Any]] = {
    **logits.MEANINGS,
    **vectors.MEANINGS,
    **sequences.MEANINGS,
    **masks.MEANINGS,
}
