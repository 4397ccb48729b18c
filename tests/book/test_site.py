"""How the book is built, on books of a page or two with the real book's settings."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from docutils import nodes
from docutils.utils import new_document
from PIL import Image

from .extensions import extension
from .small_books import build, prepare, write


def runs(book: Path) -> dict[str, str]:
    """What the pages that count their runs show."""
    pages = {name: book / f"_build/html/book/{name}.html" for name in ("first", "second")}
    return {k: ",".join(re.findall(r"run \d", page.read_text())) for k, page in pages.items()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


COUNT = """
from pathlib import Path
runs = Path("../NAME")
with runs.open("a") as file:
    file.write("I")
if not runs.exists():
    from lossviz import NAME
print("run", len(runs.read_text()))
"""
TRANSPORT = """
import json
from ipykernel.connect import get_connection_info
print("transport", json.loads(get_connection_info())["transport"])
"""
DRAW = """
import os, time
from importlib import import_module
from pathlib import Path
met = Path("../met")
met.mkdir(exist_ok=True)
(met / str(os.getpid())).touch()
while len(list(met.iterdir())) < min(2, os.cpu_count()):
    time.sleep(0.05)  # for ever, were pages executed one after the other
import matplotlib.pyplot as plt
plt.style.use(import_module("lossviz.widgets").matplotlib_style())
plt.plot([1, 2], label=r"rate $x$")
_ = plt.legend()
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, str]]:
    """A book built once, the folder of its temporary files, and what it complained of."""
    book = prepare(tmp_path_factory.mktemp("small"))
    folder = Path(mkdtemp(prefix="t"))  # that of the test has too long a path for a socket
    counted = {name: COUNT.replace("NAME", name) for name in ("first", "second")}
    write(book, **counted, kernel=TRANSPORT, drawn=DRAW, again=DRAW)
    done = build(book, TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    yield book, folder, done.stderr
    shutil.rmtree(folder)


def test_kernels_open_no_port_leave_nothing_behind_and_cause_no_warning(
    small: tuple[Path, Path, str],
) -> None:
    book, folder, complaints = small
    assert "transport ipc" in (book / "_build/html/book/kernel.html").read_text()
    assert complaints == ""
    assert [*folder.glob("lossviz-*")] == []


def test_pages_are_executed_at_the_same_time(small: tuple[Path, Path, str]) -> None:
    assert len([*(small[0] / "met").iterdir()]) == 2  # each went on when the other was there


def test_pictures_are_svg_with_text_and_no_ground_and_the_same_each_time(
    small: tuple[Path, Path, str],
) -> None:
    html = small[0] / "_build/html"
    drawn, again = (
        re.findall(r"_images/\w+\.\w+", (html / "book" / f"{page}.html").read_text())
        for page in ("drawn", "again")
    )
    assert drawn == again
    (picture,) = set(drawn)
    assert picture.endswith(".svg")
    text = (html / picture).read_text()
    assert "<text" in text
    assert "'DejaVu Sans', Verdana" in text
    assert "#ffffff" not in text


def test_a_page_is_run_again_when_what_it_imports_changes_and_not_otherwise(
    small: tuple[Path, Path, str],
) -> None:
    book, *_ = small
    assert runs(book) == {"first": "run 1", "second": "run 1"}

    edit(book / "lossviz" / "first.py", '"""One."""', '"""Two."""  # words')
    edit(book / "lossviz" / "third.py", "3", "4")
    edit(book / "lossviz" / "second.py", "2", "3")
    with (book / "book" / "first.md").open("a") as text:
        text.write("\nOne more sentence.\n")
    assert build(book).returncode == 0
    assert runs(book) == {"first": "run 1", "second": "run 2"}
    assert "One more sentence" in (book / "_build/html/book/first.html").read_text()

    edit(book / "lossviz" / "first.py", "1", "2")
    edit(book / "lossviz" / "second.py", "3", "2")  # and what was known is not run again
    assert build(book).returncode == 0
    assert runs(book) == {"first": "run 2", "second": "run 1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"error": ("1 / 0", "ZeroDivisionError")},
        {
            "warning": ("import warnings; warnings.warn('careful')", "stderr"),
            "reference": ("1\n```\n\nSee {ref}`nowhere`.\n\n```{code-cell}\n2", "nowhere"),
        },
    ],
    ids=["an error", "a warning and a broken reference"],
)
def test_what_is_wrong_on_a_page_fails_the_build(
    book: Path, wrong: dict[str, tuple[str, str]]
) -> None:
    write(book, right="1", **{name: code for name, (code, _) in wrong.items()})
    failed = build(book)
    assert failed.returncode != 0
    complaints = [line for line in failed.stderr.splitlines() if ": WARNING: " in line]
    assert {Path(line.partition(".md:")[0]).name for line in complaints} == {*wrong}
    assert all(message in failed.stderr for _, message in wrong.values())


def test_sockets_have_short_paths_also_where_temporary_files_lie_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = extension("lossviz_execution")
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = execution.private_folder()
    try:
        assert len(f"{folder}/kernel-ipc-5") <= execution.LONGEST_SOCKET
        assert [*deep.iterdir()] == []
    finally:
        folder.rmdir()


def test_icons_are_kept_by_name_and_by_alias_and_others_go() -> None:
    keep = extension("lossviz_icons").keep_icons
    moon, sun = 'moon:[1,2,[],"f1","M0"],', '"far-sun":[1,2,[7,"sol"],"f2",["M0","M1"]],'
    dog = 'dog:[1,2,[],"f3","M"]'
    assert keep(f"x={{{moon}{sun}{dog}}}", {"sol"}) == f"x={{{sun}}}"
    assert keep(f"x={{{moon}{sun}{dog}}}", {"moon", "dog"}) == f"x={{{moon}{dog}}}"


def test_docstring_sections_become_rubrics_and_parameters_definitions() -> None:
    lines = [
        "Sum.",
        "",
        "Parameters",
        "----------",
        "q : number",
        "    in nats.",
        "",
        "Notes",
        "-----",
    ]
    extension("lossviz_docstrings").show_sections(None, "", "", None, None, lines)
    assert lines[2:6] == [".. rubric:: Parameters", "", "``q``", "    number"]
    assert lines[-2:] == [".. rubric:: Notes", ""]


def test_every_declared_loss_has_a_card_a_passport_and_a_place_in_the_api() -> None:
    from lossviz.losses import LOSSES

    atlas, passports = extension("lossviz_atlas"), extension("lossviz_passports")
    cards, api = atlas.index(), "\n".join(atlas.api().values())
    for loss in LOSSES.values():
        assert f'href="atlas/{loss.key}.html"' in cards
        assert f"lossviz.losses.{loss.key}\n" in api
        text = passports.passport(loss)
        assert loss.latex in text
        assert loss.gradient in text
        assert ("## Gradient" in text) == bool(loss.gradient)
        assert all(source.key in text for source in loss.sources)
        assert all(passports.statement(fact, loss) in text for fact in loss.facts)
        assert text.count("tested)") >= sum(fact.checked for fact in loss.facts)
        assert all(passports.words(p.at_high, loss) in text for p in loss.parameters)
        assert all(f"\n`{argument.name}`" in text for argument in loss.inputs.arguments)
        assert all(passports.words(name, loss) in text for name in loss.also)
        assert (passports.READING in text) == loss.reading
        assert "lossviz-live" in text


def losses() -> list[Any]:
    from lossviz.losses import LOSSES

    return list(LOSSES.values())


@pytest.mark.parametrize("loss", losses(), ids=lambda loss: loss.key)
def test_the_lines_of_a_passport_run_as_they_stand_and_torch_gives_the_same_number(
    loss: Any,
) -> None:
    passports = extension("lossviz_passports")
    call, *torch_alone = re.findall(r"```python\n(.*?)```", passports._call(loss), re.DOTALL)
    lines = call.strip().splitlines()
    assert all(len(line) <= 80 for line in lines), "too wide for a phone to read"
    known: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(call, known)
    assert known["loss"].isfinite()
    assert bool(torch_alone) == bool(loss.in_torch)
    for code in torch_alone:
        imports, _, expression = code.strip().partition("\n\n")
        exec(imports, known)
        torch.testing.assert_close(eval(f"({expression})", known), known["loss"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tau = 1 is cross-entropy", r"$\tau = 1$ is cross-entropy"),
        ("It is -softplus(-m), as a rule", r"It is $- \mathrm{softplus} (- m )$, as a rule"),
        ("re-weighted by p^(tau - 1)", r"re-weighted by $p^{\tau - 1}$"),
        ("for gamma in (0, ∞)", r"for $\gamma \in (0, \infty)$"),
        ("lam to inf is a mean", r"$\lambda \to \infty$ is a mean"),
        ("at most sqrt(K - 1)/rho", r"at most $\sqrt {K - 1} / \rho$"),
        ("no margin (a leap): margin = 0", r"no margin (a leap): $c = 0$"),
        ("torch's log-sum-exp of 1-Lipschitz ramps, 1/2 of all", None),
        ("code `tau = 1` and $x = 1$ stay", None),
    ],
)
def test_formulas_of_plain_text_are_set_and_words_are_not(text: str, shown: str | None) -> None:
    typeset = extension("lossviz_mathematics").typeset
    assert typeset(text, {"margin": "c"}) == (text if shown is None else shown)


def test_finished_text_of_passports_has_no_mathematics_as_one_types_it() -> None:
    passports = extension("lossviz_passports")
    typed = re.compile(
        r"\w ?(?:<=|>=|\^|\|\|) ?\w|\b(?:exp|sqrt|softplus|log)\(|\b(?:tau|eta|lam) "
    )
    for loss in losses():
        texts = [fact.statement for fact in loss.facts] + [loss.notes, loss.stability, loss.summary]
        texts += [t for p in loss.parameters for t in (p.meaning, p.at_low, p.at_high)]
        for text in texts:
            prose = re.sub(r"\$[^$]*\$|`[^`]*`", "", passports.words(text, loss))
            assert not typed.search(prose), prose


def test_cards_and_lists_say_what_the_facts_say_and_no_more() -> None:
    from lossviz.declaration.facts import TRAITS

    atlas = extension("lossviz_atlas")
    lists = atlas.which_loss().split("\n\n")
    assert len(lists) == len(TRAITS) + 1
    for loss in losses():
        stated = {fact.trait for fact in loss.facts} - {None}
        (has,) = re.findall(r'data-has="([^"]*)"', atlas._card(loss))
        assert {*has.split("|")} - {"", "pairs"} == stated & {*atlas.SHOWN}
        listed = {
            words.partition("\n")[0].lower() for words in lists if atlas.link(loss.key) in words
        }
        assert listed - {atlas.PAIRS} == {atlas.SHOWN.get(trait, trait) for trait in stated}
        assert (atlas.PAIRS in listed) == loss.inputs.paired == ("pairs" in has)


def test_a_picture_is_drawn_again_only_when_its_key_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lossviz.losses import LOSSES

    pictures, times = extension("lossviz_pictures"), []

    def draw(loss: Any) -> Any:
        times.append(loss.key)
        return SimpleNamespace(html=lambda: f"drawn {len(times)}")

    draw.__module__ = pictures.picture.__module__
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(pictures, "picture", draw)
    monkeypatch.setattr(pictures, "thumbnail", lambda figure, *, dark: figure.html().encode())
    drawn = [pictures.figure_html(LOSSES["focal"]) for _ in range(3)]
    assert drawn == ["drawn 1"] * 3
    monkeypatch.setattr(pictures, "HERE", SimpleNamespace(key=lambda *_, **__: "another"))
    assert pictures.figure_html(LOSSES["focal"]) == "drawn 2"
    assert {path.read_text() for path in tmp_path.rglob("*.*")} == {"drawn 2"}


def test_a_thumbnail_is_the_main_part_of_the_figure_on_a_clear_ground() -> None:
    from lossviz.losses import LOSSES
    from lossviz.widgets import picture

    pictures = extension("lossviz_pictures")
    figure = picture(LOSSES["focal"])
    light, dark = (pictures.thumbnail(figure, dark=dark) for dark in (False, True))
    assert light != dark
    image = Image.open(io.BytesIO(light))
    assert image.mode == "RGBA"
    assert image.width <= pictures.SIZE[0] and image.height <= pictures.SIZE[1]
    assert len(light) < 12_000


def test_a_picture_depends_on_what_draws_it_and_on_its_own_loss_alone() -> None:
    from lossviz.losses import LOSSES

    pictures = extension("lossviz_pictures")
    names = [pictures.picture.__module__, LOSSES["focal"].formula.__module__]
    modules = set(pictures.HERE.modules(names, without=pictures.LISTS))
    assert {*names, "lossviz.declaration.rows", "lossviz.widgets.vega.frame"} <= modules
    assert LOSSES["gaussian_nll"].formula.__module__ not in modules
    assert "lossviz.widgets.explorer.explore" not in modules


def test_our_own_reading_has_its_banner_and_no_gradient_without_a_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from lossviz.losses import LOSSES

    passports = extension("lossviz_passports")
    loss = replace(LOSSES["focal"], form=None, derivative=None, reading=True)
    monkeypatch.setattr(passports, "figure_html", lambda _: "")
    text = passports.passport(loss)
    assert passports.READING in text
    assert "## Gradient" not in text


def test_search_looks_in_prose_and_not_in_code() -> None:
    search = extension("lossviz_search")
    page = new_document("page")
    cell = nodes.container("", nodes.Text("typed"), classes=["cell_input"])
    page += [nodes.paragraph("", "said"), nodes.literal_block("", "quoted"), cell]
    assert search.prose(page).astext() == "said"
    assert "typed" in page.astext()


def test_what_an_index_knows_of_unchanged_pages_outlives_a_build() -> None:
    search = extension("lossviz_search")
    names = ("titles", "filenames", "mapping", "title_mapping", "all_titles", "index_entries")
    kept = {f"_search_index_{name}": {} for name in (*names, "objtypes", "objnames")}
    env = SimpleNamespace(**kept, version=1)
    frozen = {
        "envversion": 1, "docnames": ["a", "b"], "filenames": ["a", "b"], "titles": ["A", "B"],
        "alltitles": {}, "terms": {}, "titleterms": {},
        "indexentries": {"gce": [[0, "index-0", True], [1, "", False]]},
    }  # fmt: skip
    index = search.ProseIndex(env, "en", {}, "")
    index.load(io.StringIO(json.dumps(frozen)), json)
    index.prune(["a"])
    assert index._index_entries == {"a": [("gce", "index-0", "main")]}
