"""torch's own samples for its linear cross-entropy, asked of ours."""

from __future__ import annotations

import warnings

import pytest
import torch

from lossviz.kernels import linear_cross_entropy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

SAMPLES = {"": 119, "chunked": 133, "chunked_none": 77}
VARIANTS = {
    info.variant_test_name: info
    for info in op_db
    if info.name == "nn.functional.linear_cross_entropy"
}


def leaves(sample):
    tensors = (sample.input, *sample.args, *sample.kwargs.values())
    return [one for one in tensors if isinstance(one, torch.Tensor) and one.requires_grad]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("variant", SAMPLES)
def test_every_sample_of_torch_gives_torchs_value_and_gradients(variant, dtype):
    info = VARIANTS[variant]
    generator = torch.Generator().manual_seed(0)
    count = 0
    for sample in info.sample_inputs("cpu", dtype, requires_grad=True):
        count += 1
        options = {name: value for name, value in sample.kwargs.items() if name != "options"}
        weight, target = sample.args
        theirs = info.op(sample.input, *sample.args, **sample.kwargs)
        upstream = torch.randn(theirs.shape, generator=generator, dtype=dtype)
        expected = torch.autograd.grad(theirs, leaves(sample), upstream)
        for impl in ("auto", "reference"):  # "auto" is "chunked" here
            ours = linear_cross_entropy(sample.input, weight, target, **options, impl=impl)
            torch.testing.assert_close(ours, theirs, equal_nan=True)
            found = torch.autograd.grad(ours, leaves(sample), upstream)
            torch.testing.assert_close(found, expected, equal_nan=True)
    assert count >= SAMPLES[variant]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("variant", SAMPLES)
def test_what_torch_refuses_is_refused(variant):
    count = 0
    for wrong in VARIANTS[variant].error_inputs(torch.device("cpu")):
        sample = wrong.sample_input
        options = {name: value for name, value in sample.kwargs.items() if name != "options"}
        count += 1
        with pytest.raises((ValueError, TypeError)):
            linear_cross_entropy(sample.input, *sample.args, **options)
    assert count >= 6
