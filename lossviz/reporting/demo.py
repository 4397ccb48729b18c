"""Where the logits of ``lossviz report --demo`` come from: a small network that is too sure.

``python -m lossviz.reporting.demo`` trains it on 597 handwritten digits of scikit-learn and writes
its logits on the 1,200 others, which are noisy, beside this module.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..experiments import datasets, networks, training
from ..losses import cross_entropy

DEMO = Path(__file__).with_name("demo.npz")
NOISE = 0.25


def demo_logits() -> tuple[np.ndarray, np.ndarray]:
    """Logits (1200, 10) in float32 and labels (1200,) in int64, made anew."""
    split = datasets.digits(test_size=1200)
    model = networks.network(64, 128, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    examples = training.batches(split.train_features, split.train_labels, size=50, epochs=100)
    training.train(model, cross_entropy, examples, optimizer)
    generator = torch.Generator().manual_seed(0)
    noise = NOISE * torch.randn(split.test_features.shape, generator=generator)
    with torch.no_grad():
        logits = model(split.test_features + noise)
    return logits.numpy(), split.test_labels.numpy()


if __name__ == "__main__":
    made = demo_logits()
    np.savez_compressed(DEMO, logits=made[0], labels=made[1])
