"""The gradient filter: exact without it, and with it wrong by no more than it says."""

from __future__ import annotations

import pytest
import torch

from lossviz.kernels import filtered_linear_cross_entropy, linear_cross_entropy, planning

pytestmark = pytest.mark.skipif(
    not planning.triton_runs(torch.device("cpu"), torch.float32),
    reason="needs Triton's interpreter, which a GPU run does without",
)
ROWS, CLASSES, FEATURES = 40, 1500, 16


def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A vocabulary whose later words are ever rarer, in every context."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, FEATURES, generator=generator)
    w = torch.randn(CLASSES, FEATURES, generator=generator) / 8
    b = -torch.arange(CLASSES) / 60
    y = torch.randint(0, 300, (ROWS,), generator=generator)
    y[3] = -100
    return x, w, b, y


def gradients(loss, leaves):
    return torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_the_loss_is_exact_whatever_the_filter(reduction):
    x, w, b, y = case()
    found = filtered_linear_cross_entropy(
        x, w, y, linear_bias=b, filter_eps=1e-3, reduction=reduction, softcap=30.0
    )
    expected = linear_cross_entropy(x, w, y, linear_bias=b, reduction=reduction, softcap=30.0)
    torch.testing.assert_close(found.loss, expected)
    assert found.skipped.shape == y.shape


def test_a_filter_of_zero_leaves_every_gradient_as_it_is():
    leaves = [tensor.requires_grad_() for tensor in case()[:3]]
    y = case()[3]
    found = filtered_linear_cross_entropy(*leaves[:2], y, linear_bias=leaves[2], filter_eps=0.0)
    expected = linear_cross_entropy(*leaves[:2], y, linear_bias=leaves[2])
    assert (found.skipped == 0).all()
    for mine, other in zip(gradients(found.loss, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


def test_the_gradient_lacks_exactly_the_mass_that_is_reported():
    x, w, b, y = case()
    b.requires_grad_()
    exact = linear_cross_entropy(x, w, y, linear_bias=b, reduction="none")
    found = filtered_linear_cross_entropy(x, w, y, linear_bias=b, filter_eps=1e-4, reduction="none")
    assert 0 < found.skipped.max() < 0.1
    for row in range(0, ROWS, 7):
        (whole,) = torch.autograd.grad(exact[row], b, retain_graph=True)
        (part,) = torch.autograd.grad(found.loss[row], b, retain_graph=True)
        missing = (whole - part).abs().sum()
        torch.testing.assert_close(missing, found.skipped[row], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(-part.sum(), found.skipped[row], rtol=1e-3, atol=1e-6)


def test_a_row_without_target_has_no_gradient_to_skip():
    x, w, b, y = case()
    found = filtered_linear_cross_entropy(x, w, y, linear_bias=b, filter_eps=1e-4)
    assert y[3] == -100 and found.skipped[3] == 0 and (found.skipped[:3] > 0).all()


def test_without_features_the_bias_alone_decides():
    _, _, b, y = case()
    found = filtered_linear_cross_entropy(
        torch.zeros(ROWS, 0), torch.zeros(CLASSES, 0), y, linear_bias=b, filter_eps=1e-3
    )
    expected = torch.nn.functional.cross_entropy(b.expand(ROWS, CLASSES), y)
    torch.testing.assert_close(found.loss, expected)


def test_autocast_casts_what_it_would_cast_for_a_linear_layer():
    x, w, b, y = case()
    leaves = [tensor.requires_grad_() for tensor in (x, w, b)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = filtered_linear_cross_entropy(x, w, y, linear_bias=b, filter_eps=0.0)
    halves = [tensor.bfloat16() for tensor in leaves]
    expected = linear_cross_entropy(*halves[:2], y, linear_bias=halves[2])
    torch.testing.assert_close(found.loss, expected)
    assert all(gradient.dtype == torch.float32 for gradient in gradients(found.loss, leaves))


def test_words_that_are_rare_in_every_row_lose_their_gradient():
    x, w, b, y = case()
    b.requires_grad_()
    loss = filtered_linear_cross_entropy(x, w, y, linear_bias=b, filter_eps=1e-4).loss
    (gradient,) = torch.autograd.grad(loss, b)
    assert (gradient[-200:] == 0).all()
    assert (gradient[:100] != 0).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"filter_eps": -1e-3}, ValueError, "filter_eps"),
        ({"filter_eps": 1.5}, ValueError, "filter_eps"),
        ({"softcap": 0.0}, ValueError, "softcap"),
        ({"reduction": "avg"}, ValueError, "reduction"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, message):
    x, w, _, y = case()
    with pytest.raises(error, match=message):
        filtered_linear_cross_entropy(x, w, y, **{"filter_eps": 1e-3, **change})


def test_other_dtypes_shapes_and_probabilities_are_refused():
    x, w, _, y = case()
    with pytest.raises(ValueError, match=r"linear_weight must have shape \(V, D\)"):
        filtered_linear_cross_entropy(x, w[:, None, :], y, filter_eps=1e-3)
    with pytest.raises(ValueError, match="float64"):
        filtered_linear_cross_entropy(x.double(), w.double(), y, filter_eps=1e-3)
    with pytest.raises(TypeError, match="class indices"):
        filtered_linear_cross_entropy(x, w, torch.ones(ROWS, CLASSES), filter_eps=1e-3)
