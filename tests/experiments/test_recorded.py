"""The committed measurements are read as they are, and every one of them is shown."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from lossviz.experiments.recorded import bare_seconds, by_case, compare, draw, measurements


def record(method, seconds, device="a CPU", rows=8):
    shape = {"N": rows, "V": 16, "D": 4}
    return {
        "method": method,
        "shape": shape,
        "dtype": "float32",
        "device": device,
        "threads": 1,
        "versions": {"torch": "2.0"},
        "cpu_seconds": {"p50": seconds},
        "wall_seconds": {"p50": seconds},
        "peak_bytes": 4 * (rows + 16) * 4 + 256,
    }


RECORDS = [record("products", 1.0), record("eager", 3.0), record("other", 2.0)]
RECORDS.append(record("lossviz", 1.5))


def test_what_is_committed_was_measured_on_a_cpu_or_on_a_gpu():
    on_cpu, on_gpu = measurements()
    assert on_cpu
    assert not any("nvidia" in r["device"].lower() for r in on_cpu)
    assert all("nvidia" in r["device"].lower() or "cuda" in r["device"] for r in on_gpu)


def test_records_of_one_shape_dtype_and_device_stand_together():
    elsewhere = record("lossviz", 7.0, device="another CPU")
    cases = by_case([*RECORDS, record("lossviz", 9.0, rows=32), elsewhere])
    first = (8, 16, 4, "float32", "a CPU")
    assert list(cases) == [first, (32, 16, 4, "float32", "a CPU"), (*first[:4], "another CPU")]
    assert cases[first]["eager"]["cpu_seconds"]["p50"] == 3.0
    assert cases[first]["lossviz"]["cpu_seconds"]["p50"] == 1.5


def test_each_machine_has_a_table_of_its_own(capsys):
    compare([*RECORDS, *({**r, "device": "another CPU"} for r in RECORDS)])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("measured on")] == [
        "measured on a CPU, threads: 1, torch 2.0",
        "measured on another CPU, threads: 1, torch 2.0",
    ]
    assert len(lines) == 6


def test_the_table_has_ratios_to_ours_and_memory_beyond_the_gradients(capsys):
    compare(RECORDS)
    head, row, source = capsys.readouterr().out.splitlines()
    assert row.split()[:4] == ["8,", "16,", "4", "float32"]
    assert row.split()[4:10] == ["1.50", "x", "2.00", "x", "1.33", "x"]
    assert f"{256 / (8 * 16 * 4):.1%}" in row
    assert source == "measured on a CPU, threads: 1, torch 2.0"
    assert "best peer" in head


def test_every_method_has_a_dot_for_each_shape_at_which_the_products_were_measured():
    draw([*RECORDS, record("lossviz", 6.0, rows=32), record("products", 2.0, rows=32),
          record("lossviz", 1.0, rows=64)], "cpu_seconds")  # fmt: skip
    (axes,) = plt.gcf().axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    dots = [(names[line.get_ydata()[0]], line.get_xdata()[0]) for line in axes.lines[:-1]]
    assert sorted(dots) == [("eager", 3.0), ("lossviz", 1.5), ("lossviz", 3.0), ("other", 2.0)]
    plt.close()


def test_the_faster_way_to_the_products_is_what_others_are_compared_with():
    found = {"products": record("", 2.0), "products, 256 rows": record("", 1.0)}
    assert bare_seconds(found, "cpu_seconds") == 1.0
    assert bare_seconds({"eager": record("", 2.0)}, "cpu_seconds") is None
