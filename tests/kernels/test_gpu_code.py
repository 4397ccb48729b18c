"""What the interpreter accepts is not always typed: the compiler has the last word.

With the tiles planned for a GPU, the kernels of a plain loss must keep everything in registers, and
no option may need more shared memory than there is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import pytest

from lossviz.kernels.triton_tiling import AMPERE, HOPPER, SINGLE, Tiles

from .gpu_compiler import (
    EVERY_INTEGER,
    KERNELS,
    LAID_OUT,
    Code,
    compile_for_gpu,
    compile_instead_of_interpreting,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="triton brings an assembler for linux alone"
)
SHARED = {80: 163, 89: 99, 90: 227, 120: 99}  # KiB a block may have


class Target(NamedTuple):
    """Tiles, GPU and dtype that belong together."""

    tiles: Tiles
    capability: int
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} for {self.capability}"

    def has_room_for(self, code: Code) -> bool:
        return code.shared <= SHARED[self.capability] * 2**10


TARGETS = [
    Target(HOPPER, 90, "bf16"),
    Target(AMPERE, 80, "bf16"),
    Target(AMPERE, 89, "bf16"),
    Target(AMPERE, 120, "bf16"),
    Target(SINGLE, 90, "fp32"),
]
DENSE_TARGETS = [target for target in TARGETS if target.tiles is not HOPPER]  # never given these
Compile = Callable[..., Code]


@pytest.fixture(scope="module")
def compiled() -> Iterator[Compile]:
    """`compile_for_gpu` in the one process that does not interpret."""
    settings = {"mp_context": get_context("spawn"), "initializer": compile_instead_of_interpreting}
    with ProcessPoolExecutor(1, **settings) as process:
        yield lambda *how, **options: process.submit(compile_for_gpu, *how, **options).result()


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_branch_compiles(compiled: Compile, kernel: str) -> None:
    assert compiled(kernel, everything=True)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_integer_may_be_1(compiled: Compile, kernel: str) -> None:
    assert compiled(kernel, ones=EVERY_INTEGER)


class _PlannedTiles:
    """The properties of a kernel whose tiles are planned; a class each, for two processes."""

    kernel: str

    @pytest.mark.parametrize("target", TARGETS, ids=str)
    def test_a_plain_loss_stays_in_registers(self, compiled: Compile, target: Target) -> None:
        code = compiled(self.kernel, ones=LAID_OUT, **target._asdict())
        assert code.stack == 0
        assert target.has_room_for(code)

    @pytest.mark.parametrize("target", DENSE_TARGETS, ids=str)
    def test_dense_weights_of_the_mean_spill_little(
        self, compiled: Compile, target: Target
    ) -> None:
        code = compiled(self.kernel, dense=True, ones=LAID_OUT, **target._asdict())
        assert code.stack < 1024

    @pytest.mark.parametrize("target", TARGETS, ids=str)
    def test_every_option_at_once_fits_the_shared_memory(
        self, compiled: Compile, target: Target
    ) -> None:
        how = {"everything": True, "ones": LAID_OUT[:2], "hurried": True}
        assert target.has_room_for(compiled(self.kernel, **how, **target._asdict()))


class TestSums(_PlannedTiles):
    kernel = "sums_kernel"


class TestGradient(_PlannedTiles):
    kernel = "gradient_kernel"
