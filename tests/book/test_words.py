"""The words around the chapters: README, citation, references, notation, what is committed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pybtex.database import BibliographyData, parse_file

from lossviz import __version__
from lossviz.losses import LOSSES, Loss

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())

# Written in parts, so that this file passes its own test.
FOREIGN_HOSTS = [
    ".".join(parts)
    for parts in (
        ("jsdelivr", "net"),
        ("unpkg", "com"),
        ("cloudflare", "com"),
        ("googleapis", "com"),
        ("npmjs", "org"),
        ("npmmirror", "com"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download", "pytorch", "org"),
        ("anaconda", "org"),
    )
]


def committed() -> list[str]:
    """Paths of the files that are, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]


def committed_text() -> Iterator[tuple[str, str]]:
    """Path and content of every committed file that is text."""
    for name in committed():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*)\s*:(?!=)", makefile, re.MULTILINE))


def python_examples(markdown: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def references() -> BibliographyData:
    return parse_file(str(ROOT / "book" / "references.bib"))


def test_every_reference_names_who_wrote_what_and_when(references: BibliographyData) -> None:
    lacking = {
        key: missing
        for key, entry in references.entries.items()
        if (missing := {"title", "year"} - set(entry.fields) | {"author"} - set(entry.persons))
    }
    assert len(references.entries) > 0
    assert not lacking


@every_loss
def test_every_source_of_a_loss_is_in_the_references(
    loss: Loss, references: BibliographyData
) -> None:
    assert {source.key for source in loss.sources} <= set(references.entries)


@every_loss
def test_the_notation_page_gives_symbol_and_argument_of_every_parameter(loss: Loss) -> None:
    notation = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
    rows = [line for line in notation.splitlines() if line.startswith("|")]
    for parameter in loss.parameters:
        assert any(
            f"${parameter.symbol}$" in row and f"`{parameter.name}`" in row for row in rows
        ), f"notation.md has no row with ${parameter.symbol}$ and `{parameter.name}`"


@pytest.mark.parametrize("example", python_examples(README))
def test_each_example_of_the_readme_runs_when_pasted_alone(example: str) -> None:
    exec(compile(example, "README.md", "exec"), {})


def test_the_readme_says_how_to_install_also_without_cuda() -> None:
    shown = re.findall(r"^(?:python -m )?pip install .*$", README, re.MULTILINE)
    assert any("lossviz" in line or " ." in line for line in shown)
    assert "PIP_EXTRA_INDEX_URL" in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "book/how-to-read.md"])
def test_every_make_target_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", text, re.MULTILINE))
    assert named
    assert named <= make_targets()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_path_that_is_linked_or_shown_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = re.findall(r"\]\(([^)#:\s]+)\)|`((?:lossviz|book|tests)/[\w/.-]+)`", text)
    paths = [linked or quoted for linked, quoted in shown]
    assert paths
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_readme_picture_is_light() -> None:
    picture = ROOT / "book" / "_static" / "landscape.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size < 150_000


def test_the_citation_file_has_its_required_fields_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert [author["name"] for author in citation["authors"]] == ["The lossviz authors"]
    assert citation["version"] == __version__
    assert citation["license"] == "BSD-3-Clause"


def test_the_changelog_speaks_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {__version__} " in changelog


def test_no_notebook_with_outputs_is_committed() -> None:
    assert not [name for name in committed() if name.endswith(".ipynb")]


def test_no_package_or_script_host_is_named() -> None:
    assert not [
        (name, host) for name, text in committed_text() for host in FOREIGN_HOSTS if host in text
    ]


def test_no_path_of_one_machine_is_written() -> None:
    machine_path = re.compile(r"(?<![\w.~$})*-])/(?:work|root|home|Users)/\w")
    found = [
        (name, m.group()) for name, text in committed_text() for m in machine_path.finditer(text)
    ]
    assert not found
