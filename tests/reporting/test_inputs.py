"""What users have in hand is read as it is, and what cannot be read is refused by name."""

from __future__ import annotations

import json
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lossviz.reporting import InputError, inputs
from lossviz.reporting.inputs import read

GENERATOR = np.random.default_rng(0)
LOGITS = GENERATOR.normal(size=(40, 3)).astype("float32")
LABELS = GENERATOR.integers(3, size=40)


def rows(predictions):
    """All rows that count, and their labels."""
    blocks = [*predictions.blocks()]
    return torch.cat([block for block, _, _ in blocks]), torch.cat(
        [target for _, target, _ in blocks]
    )


def assert_same(predictions, logits=LOGITS, labels=LABELS):
    found, target = rows(predictions)
    assert torch.equal(found, torch.as_tensor(logits))
    assert target.tolist() == list(labels)


@pytest.mark.parametrize(
    "keys", [("logits", "labels"), ("predictions", "label_ids"), ("predictions", "ground_truth")]
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_with_usual_keys(tmp_path, keys, save):
    save(tmp_path / "x.npz", **dict(zip(keys, (LOGITS, LABELS), strict=True)))
    assert_same(read(tmp_path / "x.npz", kind="logits"))


def test_an_npz_with_keys_that_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=LOGITS, b=LABELS)
    with pytest.raises(InputError, match=r"it holds a \(40, 3\), b \(40,\): say --logits KEY"):
        read(tmp_path / "x.npz", kind="logits")
    assert_same(read(tmp_path / "x.npz", kind="logits", logits_key="a", labels_key="b"))
    with pytest.raises(InputError, match="no key 'c'; it holds a"):
        read(tmp_path / "x.npz", kind="logits", logits_key="a", labels_key="c")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
def test_two_npy_files_of_any_order_and_width(tmp_path, order, dtype, monkeypatch):
    monkeypatch.setattr(inputs, "BLOCK", 7)
    np.save(tmp_path / "z.npy", np.asarray(LOGITS, dtype, order=order))
    np.save(tmp_path / "y.npy", LABELS.astype("u1"))
    found = read(tmp_path / "z.npy", tmp_path / "y.npy", kind="logits")
    assert_same(found, LOGITS.astype(dtype).astype(dtype[1:]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_more_rows_than_a_block_are_in_memory(tmp_path, save, monkeypatch):
    monkeypatch.setattr(inputs, "BLOCK", 20)
    save(tmp_path / "x.npz", logits=LOGITS, labels=LABELS)
    found = read(tmp_path / "x.npz", kind="logits")
    assert {len(block) for block, _, _ in found.blocks()} == {6, 4}
    assert_same(found)


def test_a_npy_file_needs_another_with_the_labels(tmp_path):
    np.save(tmp_path / "z.npy", LOGITS)
    with pytest.raises(
        InputError, match=r"z.npy comes without labels: .* give them as a second file"
    ):
        read(tmp_path / "z.npy", kind="logits")


def test_safetensors_bfloat16_among_them(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    half = torch.tensor(LOGITS).bfloat16()
    save_file({"logits": half, "labels": torch.tensor(LABELS)}, tmp_path / "x.safetensors")
    assert_same(read(tmp_path / "x.safetensors", kind="logits"), half)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("p_cat,p_dog,label\n0.25,0.75,dog\n0.5,0.5,cat\n", ("cat", "dog")),
        (",cat,dog,label\n0,0.25,0.75,dog\n1,0.5,0.5,cat\n", ("cat", "dog")),
        ("cat;dog;label\n0,25;0,75;dog\n0,5;0,5;cat\n", ("cat", "dog")),
        ("0\t1\ty\n0.25\t0.75\t1\n0.5\t0.5\t0\n", ("0", "1")),
        ("cat,dog,label\n0.25,0.75,1\n0.5,0.5,0\n", ("cat", "dog")),
    ],
)
def test_a_table_keeps_the_names_of_its_classes(tmp_path, text, names):
    (tmp_path / "x.csv").write_text(text)
    found = read(tmp_path / "x.csv", kind="probabilities")
    assert found.names == names
    assert_same(found, [[0.25, 0.75], [0.5, 0.5]], [1, 0])


def test_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    table = {"cat": [0.25, 0.5], "dog": [0.75, 0.5], "label": ["dog", "cat"]}
    parquet.write_table(pyarrow.table(table), tmp_path / "x.parquet")
    found = read(tmp_path / "x.parquet", kind="probabilities")
    assert found.names == ("cat", "dog")
    assert_same(found, [[0.25, 0.75], [0.5, 0.5]], [1, 0])


def test_predictions_of_tokens_with_labels_that_do_not_count():
    labels = LABELS.reshape(8, 5).copy()
    labels[:, 3:] = -100
    given = SimpleNamespace(predictions=LOGITS.reshape(8, 5, 3), label_ids=labels)
    kept = labels.ravel() != -100
    assert_same(read(given, kind="logits"), LOGITS[kept], LABELS[kept])


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_binary_score_is_two_probabilities(shape):
    score = np.array([0.25, 0.5, 1.0, 0.0]).reshape(shape)
    both = [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]]
    found = read(score, [0, 1, 1, 0], kind="binary score")
    assert found.kind == "probabilities"
    assert torch.equal(rows(found)[0], torch.tensor(both).double())


def of_member(path, data):
    """An .npz whose member holds these bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("logits.npy", data)
    return path


HEADER = b"\x93NUMPY\x01\x00"


def header(text):
    return HEADER + len(text).to_bytes(2, "little") + text.encode()


def test_pickles_are_refused_with_the_lines_that_convert_them_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Trap()))
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Trap()))
    torch.save({"logits": torch.ones(2, 2)}, tmp_path / "x.pt")
    torch.save({"logits": torch.ones(2, 2)}, tmp_path / "x.npz")
    holder = np.empty(1, dtype=object)
    holder[0] = [1.0]
    np.savez(tmp_path / "o.npz", logits=holder, labels=LABELS)
    for name, line in {
        "x.pkl": "pickle.load", "x.npy": "numpy.load", "x.pt": "weights_only=True",
        "x.npz": "numpy.savez", "o.npz": "allow_pickle=True",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match="pickle") as error:
            read(tmp_path / name, LABELS, kind="logits")
        assert line in str(error.value) and "numpy.savez" in str(error.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"hello", "of another format"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (40, 3)}"), "truncated"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10**9, 3"), "broken header"),
        (
            header("{'descr': '|V2', 'fortran_order': False, 'shape': (1, 2)}") + bytes(4),
            "bfloat16",
        ),
        (
            header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}") + bytes(4),
            "single value",
        ),
        (
            header("{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}") + bytes(16),
            "expected n",
        ),
        (
            header("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2)}") + bytes(8),
            "integers",
        ),
    ],
)
def test_a_broken_array_is_refused_by_file_and_key(tmp_path, data, why):
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(InputError, match=why) as error:
        read(tmp_path / "x.npy", [0], kind="logits")
    assert "x.npy" in str(error.value)
    if data:
        with pytest.raises(InputError, match=why) as error:
            read(of_member(tmp_path / "x.npz", data), [0], kind="logits")
        assert "x.npz, key 'logits'" in str(error.value)


@pytest.mark.parametrize(
    ("local", "central", "value"), [(6, 8, 1), (8, 10, 99)], ids=["password", "compression"]
)
def test_an_archive_that_zipfile_cannot_open_says_so_and_how_to_write_one(
    tmp_path, local, central, value
):
    np.savez(tmp_path / "x.npz", logits=LOGITS, labels=LABELS)
    whole = bytearray((tmp_path / "x.npz").read_bytes())
    for mark, field in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        start = whole.find(mark)
        while start >= 0:
            whole[start + field] = value
            start = whole.find(mark, start + 4)
    (tmp_path / "x.npz").write_bytes(whole)
    with pytest.raises(InputError, match=r"encrypted or compressed in an unknown way.*savez"):
        read(tmp_path / "x.npz", kind="logits")


def test_a_file_cut_short_or_damaged_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", logits=LOGITS, labels=LABELS)
    whole = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[:-30])
    with pytest.raises(InputError, match="damaged or truncated"):
        read(tmp_path / "x.npz", kind="logits")
    (tmp_path / "x.npz").write_bytes(whole[:200] + b"xxxx" + whole[204:])
    with pytest.raises(InputError, match="damaged or truncated"):
        rows(read(tmp_path / "x.npz", kind="logits"))


def test_an_archive_that_would_unpack_to_far_more_is_refused(tmp_path):
    bomb = header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**25}, 3)}}")
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("logits.npy", "w") as member,
    ):
        member.write(bomb)
        for _ in range(3 * 2**7):
            member.write(bytes(2**20))
    with pytest.raises(InputError, match="times as many"):
        read(tmp_path / "x.npz", [0], kind="logits")


@pytest.mark.parametrize(
    ("logits", "labels", "why"),
    [
        (LOGITS, LABELS[:-1], r"shape \(39,\), expected \(40,\)"),
        (LOGITS, LABELS.astype(float), "whole numbers"),
        (LOGITS, np.eye(3, dtype=int)[LABELS], r"argmax\(-1\)"),
        (
            LOGITS,
            np.where(np.arange(40) == 7, 3, LABELS),
            r"row 7 is 3, expected a class in \[0, 3",
        ),
        (LOGITS, np.where(np.arange(40) == 7, -1, LABELS), "row 7 is -1"),
        (LOGITS, np.full(40, -100), "no row has a label that counts"),
        (LOGITS, LABELS.astype(str), "must hold numbers"),
        (LOGITS[:, 0], LABELS, "binary score"),
        (LOGITS.astype(int), LABELS, "integers"),
    ],
)
def test_labels_and_predictions_that_do_not_fit(logits, labels, why):
    with pytest.raises(InputError, match=why):
        read(logits, labels, kind="logits").need_rows()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cat,dog,label\n1,2\n", "line 2: 2 columns, the header has 3"),
        ("cat,dog,label\n1,x,dog\n", "line 2: could not convert"),
        ("cat,dog,label\n1,2,cow\n", "'cow' is neither"),
        ("cat,dog\n1,2\n", "without labels"),
        ("cat,dog,label\n", "no rows"),
        ("cat,dog,label,y\n1,2,dog,dog\n", "say which holds the labels"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, text, why):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=why):
        read(tmp_path / "x.csv", kind="logits")


def test_an_archive_of_nothing_and_a_dtype_that_torch_lacks_are_named(tmp_path):
    zipfile.ZipFile(tmp_path / "x.npz", "w").close()
    with pytest.raises(InputError, match="holds no array"):
        read(tmp_path / "x.npz", kind="logits")
    entry = {"logits": {"dtype": "F4_E2M1", "shape": [2, 2], "data_offsets": [0, 2]}}
    header = json.dumps(entry).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(2)
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"'logits' has dtype F4_E2M1, expected one of"):
        read(tmp_path / "x.safetensors", [0, 1], kind="logits")


def test_what_is_not_there_or_of_another_format(tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        read(tmp_path / "x.npz", kind="logits")
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"must end in one of .*got '.xlsx'"):
        read(tmp_path / "x.xlsx", kind="logits")


@pytest.mark.parametrize("kind", ["logit", None, "tokens"])
def test_the_kind_is_asked_for(kind):
    with pytest.raises(InputError, match="kind must be one of"):
        read(LOGITS, LABELS, kind=kind)
