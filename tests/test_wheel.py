"""The wheel, installed alone and imported from elsewhere."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("lossviz", "kernels", "pyproject.toml", "README.md", "LICENSE")
SHOW = """
import lossviz, lossviz.kernels, lossviz.widgets, sys
from importlib.resources import files
from lossviz.losses import comp_sum
import torch
SCRIPTS = "live.js", "explorer/keyboard.js", "playground/page.js", "playground/page.css"

assert "triton" not in sys.modules
print(lossviz.__file__)
print(files("lossviz").joinpath("py.typed").is_file())
print(all(files("lossviz").joinpath(f"widgets/{name}").is_file() for name in SCRIPTS))
print(comp_sum(torch.tensor([[0.0, 0.0]]), torch.tensor([0]), tau=2.0).item())
ones = torch.ones(2, 3)
print(lossviz.kernels.__file__)
print(lossviz.kernels.linear_cross_entropy(ones, ones, torch.tensor([0, 1])).item())
"""
REPORT = """
from importlib.metadata import entry_points
from lossviz.reporting import calibrators, summary
summary.DRAWS = summary.FEW_DRAWS = 5
calibrators.CANDIDATES = calibrators.CANDIDATES[:1]
(command,) = {entry.value: entry for entry in entry_points(name="lossviz")}.values()
assert command.load()(["report", "--demo"]) == 0
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel; its dependencies are borrowed, not downloaded."""
    home = tmp_path_factory.mktemp("wheel")
    source = home / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", home]
    run(*command, source, cwd=home)
    (wheel,) = home.glob("*.whl")

    run(sys.executable, "-m", "venv", "--without-pip", home / "env", cwd=home)
    python = home / "env" / "bin" / "python"
    target = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home
    ).strip()
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    run(*install, "--target", target, wheel, cwd=home)
    # A path file adds the folder, but not the path files in it, which lead to the repository.
    Path(target, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_wheel_works_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, "-I", "-c", SHOW, cwd=tmp_path).split()
    place, typed, script, value, kernels, nats = shown
    assert Path(place).is_relative_to(installed.parents[1])
    assert Path(kernels).is_relative_to(installed.parents[1])
    assert float(nats) == pytest.approx(math.log(2))
    assert (typed, script) == ("True", "True")
    assert float(value) == 0.5


def test_the_report_and_its_demo_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    run(installed, "-I", "-c", REPORT, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
