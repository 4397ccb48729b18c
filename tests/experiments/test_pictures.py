"""A band is the mean of the runs and their range."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch

from lossviz.experiments.pictures import band


def test_a_band_is_the_mean_and_reaches_from_the_lowest_run_to_the_highest():
    _, axes = plt.subplots()
    band(axes, [1, 2, 3], torch.tensor([[0.0, 2.0], [1.0, 5.0], [2.0, 4.0]]), label="runs")
    (line,) = axes.lines
    assert line.get_ydata().tolist() == [1.0, 3.0, 3.0]
    assert line.get_label() == "runs"
    (shade,) = axes.collections
    corners = {tuple(corner) for corner in shade.get_paths()[0].vertices.tolist()}
    assert {(1.0, 0.0), (1.0, 2.0), (2.0, 1.0), (2.0, 5.0), (3.0, 2.0), (3.0, 4.0)} <= corners
    plt.close()
