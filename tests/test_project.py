"""The files that say what is installed agree with one another."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OPTIONAL = ("kernels", "peers")  # what of it is tested here is in other extras
INSTALLED = {name: lines for name, lines in EXTRAS.items() if name not in OPTIONAL}
LINES = [*PROJECT["dependencies"], *(line for lines in INSTALLED.values() for line in lines)]
REQUIRED = [Requirement(line) for line in LINES]


def constraints() -> dict[str, str]:
    """Exact version by name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): exact for name, exact in pairs}


@pytest.mark.parametrize("requirement", REQUIRED, ids=lambda requirement: requirement.name)
def test_constraint_satisfies_the_requirement(requirement: Requirement) -> None:
    assert requirement.specifier.contains(constraints()[canonicalize_name(requirement.name)])


def test_tests_run_with_the_constrained_versions() -> None:
    installed = {name: version(name).partition("+")[0] for name in constraints()}
    assert installed == constraints()


def test_environment_installs_what_the_makefile_installs() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert "pip" in conda
    makefile = (ROOT / "Makefile").read_text()
    command = re.search(r'pip install --quiet -e "(.+)" (-c \S+)', makefile)
    assert command is not None
    assert pip["pip"] == [command[2], f"-e {command[1]}"]
    assert command[1] == f".[{','.join(INSTALLED)}]"


def test_environment_has_a_python_that_the_package_accepts() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(line for line in environment["dependencies"] if line.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))


def test_version_is_the_same_everywhere() -> None:
    import lossviz

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert lossviz.__version__ == PROJECT["version"] == citation["version"]


def test_continuous_integration_runs_the_readme_s_command() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[1] == "set -euo pipefail"
    assert lines[-1] == "make test"
    assert "make test" in (ROOT / "README.md").read_text()
