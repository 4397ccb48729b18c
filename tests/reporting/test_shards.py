"""A report in parts is the report of the whole, whoever reads the parts."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lossviz
from lossviz.reporting import InputError, calibrators, join, part, summary

SHARDS = 3


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(summary, "DRAWS", 20)
    monkeypatch.setattr(summary, "FEW_DRAWS", 5)
    monkeypatch.setattr(calibrators, "CANDIDATES", calibrators.CANDIDATES[:1])


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three files and one with all their rows; some rows do not count."""
    folder = tmp_path_factory.mktemp("shards")
    generator = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(500, 4, generator=generator)
    y = torch.multinomial((z / 2).softmax(-1), 1, generator=generator)[:, 0]
    y[::7] = -100
    site = torch.arange(500) // 30 % 5
    np.savez(folder / "all.npz", logits=z, labels=y, site=site)
    for number, rows in enumerate(torch.arange(500).tensor_split(SHARDS)):
        np.savez(folder / f"{number}.npz", logits=z[rows], labels=y[rows], site=site[rows])
    return folder


def placed(folder: Path):
    """Of each shard: its path, how many rows count before it, and how many in all."""
    paths = [folder / f"{number}.npz" for number in range(SHARDS)]
    counts = [int((np.load(path)["labels"] != -100).sum()) for path in paths]
    return [(path, sum(counts[:number]), sum(counts)) for number, path in enumerate(paths)]


def read(path, first, of):
    return part(path, kind="logits", groups_key="site", first=first, of=of)


def without_origin(found):
    about = {k: v for k, v in found["about"].items() if k not in ("file", "sha256")}
    return {**found, "about": about}


def assert_same(one, other):
    """Equal, but for the last digits of sums in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == (pytest.approx(other, rel=1e-10) if isinstance(one, float) else other)


@pytest.mark.parametrize("sampled", [10**6, 150])
def test_parts_give_the_report_of_one_file(shards, monkeypatch, tmp_path, sampled):
    monkeypatch.setattr("lossviz.reporting.rows.SAMPLE", (sampled, 2**21))
    whole = lossviz.report(shards / "all.npz", kind="logits", groups_key="site")
    parts = [pickle.loads(pickle.dumps(read(*shard))) for shard in placed(shards)]
    joined = join(parts, out=tmp_path / "x.html")
    assert_same(without_origin(joined.as_json()), without_origin(whole.as_json()))
    assert "0.npz and 2 more" in (tmp_path / "x.html").read_text()


def test_parts_of_independent_labels_tell_of_them_as_one_array_does():
    p = torch.rand(90, 3, generator=torch.Generator().manual_seed(0))
    truth = (p > 0.4).long()
    whole = lossviz.report(p, truth, kind="multilabel")
    parts = [
        part(p[rows], truth[rows], kind="multilabel", first=3 * int(rows[0]), of=270)
        for rows in torch.arange(90).tensor_split(2)
    ]
    assert_same(without_origin(join(parts).as_json()), without_origin(whole.as_json()))


@pytest.mark.parametrize("kept", [0, 5], ids=["no rows", "ignored rows"])
def test_a_shard_without_a_row_that_counts_is_an_empty_part(kept):
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(60, 3, generator=generator), torch.arange(60) % 3
    nothing = part(z[:kept], y[:kept] * 0 - 100, kind="logits", first=30, of=60)
    one, other = (
        part(z[at : at + 30], y[at : at + 30], kind="logits", first=at, of=60) for at in (0, 30)
    )
    whole = without_origin(lossviz.report(z, y, kind="logits").as_json())
    whole["about"]["ignored rows"] = kept
    for parts in ([one, nothing, other], [nothing, one, other]):
        assert_same(without_origin(join(parts).as_json()), whole)
    alone = part(z[:kept], y[:kept] * 0 - 100, kind="logits", first=0, of=0)
    with pytest.raises(InputError, match="no row has a label that counts"):
        join([alone])


def test_groups_of_parts_are_united_also_where_some_parts_have_none():
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(60, 3, generator=generator), torch.arange(60) % 3
    named = [None, ["b", "a"] * 10, ["c", "b"] * 10]
    for order in ([0, 1, 2], [1, 0, 2]):
        parts = [
            part(z[20 * at : 20 * at + 20], y[20 * at : 20 * at + 20], kind="logits",
                 first=20 * place, of=60, groups=named[at])
            for place, at in enumerate(order)
        ]  # fmt: skip
        found = {one.name: one.rows for one in join(parts).groups}
        assert found == {"no group": 20, "a": 10, "b": 20, "c": 10}


def test_missing_and_foreign_parts_are_refused(shards):
    (path, first, of), *_ = placed(shards)
    one = read(path, first, of)
    with pytest.raises(InputError, match="some are missing"):
        join([one])
    with pytest.raises(InputError, match="at least one part"):
        join([])
    with pytest.raises(InputError, match="not within 5"):
        read(path, 0, 5)
    few = part(torch.randn(4, 3), torch.zeros(4, dtype=int), kind="logits", first=0, of=8)
    more = part(torch.randn(4, 2), torch.zeros(4, dtype=int), kind="logits", first=4, of=8)
    with pytest.raises(InputError, match="with 2 classes"):
        join([few, more])


def test_dask_maps_over_the_shards(shards):
    from dask import bag  # beside the other imports it would slow every test process

    parts = bag.from_sequence(placed(shards), npartitions=2).starmap(read)
    joined = join(parts.compute(scheduler="threads"))
    whole = lossviz.report(shards / "all.npz", kind="logits", groups_key="site")
    assert_same(without_origin(joined.as_json()), without_origin(whole.as_json()))


WORKER = """
import json, sys
import torch.distributed as dist
from lossviz.reporting import calibrators, join, part, summary

summary.DRAWS, summary.FEW_DRAWS = 20, 5
calibrators.CANDIDATES = calibrators.CANDIDATES[:1]
rank, port, placed = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
dist.init_process_group(
    "gloo", rank=rank, world_size=len(placed), init_method=f"tcp://127.0.0.1:{port}"
)
path, first, of = placed[rank]
mine = part(path, kind="logits", groups_key="site", first=first, of=of)
parts = [None] * len(placed) if rank == 0 else None
dist.gather_object(mine, parts)
if rank == 0:
    print(json.dumps(join(parts).as_json()))
dist.destroy_process_group()
"""


def test_processes_of_torch_gather_their_parts(shards):
    """Three processes, each of which imports torch: the slow part."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = str(door.getsockname()[1])
    given = json.dumps([(str(path), first, of) for path, first, of in placed(shards)])
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), port, given],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(SHARDS)
    ]
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * SHARDS
    whole = lossviz.report(shards / "all.npz", kind="logits", groups_key="site")
    assert_same(without_origin(json.loads(outputs[0])), without_origin(whole.as_json()))
