"""The notebook that a page hands out is plain Markdown, folded as the page, and runs elsewhere."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .extensions import ROOT, extension
from .small_books import build, prepare, write

RAW = re.compile(r"\{[a-z][\w:-]*\}`|^\s*:::|`{3,}\{|^\s*:[a-z]+: ", re.MULTILINE)
TEXT = r"""1
```

(here)=
## A section

The value is {glue:text}`value:.1f`, a {term}`word`, by {eq}`eq-sum`, {prf:ref}`law`, {ref}`here`,
{cite:t}`good1952rational` and {cite:p}`cover2006elements`; see {doc}`second` and [words](words.md).
Five_stars cost \$5 < 6.

$$
a &= b \\ c &= d
$$ (eq-sum)

| symbol | meaning |
|---|---|
| $\|x\|$ | a **length** |

:::{prf:theorem} Of $x$
:label: law
It holds.

- Always.
:::

:::{prf:proof}
Clear.
:::

:::{admonition} In short
Done.
:::

:::{admonition} Derivation
:class: dropdown
By hand.
:::

```{exercise}
:label: ask
Why?
```

```{solution} ask
:class: dropdown

Because

    x = 1
```

```{code-cell}
:tags: [hide-input]

from myst_nb import glue
glue("value", 12.345, display=False)
"shown"
"""
WORDS = """# Words

```{glossary}
word
  What one says.
```

```{bibliography}
```
"""


def prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with a page that uses each role and directive of the chapters."""
    book = prepare(tmp_path_factory.mktemp("small"))
    write(book, first=TEXT, second="1", words="")
    (book / "book" / "words.md").write_text(WORDS)
    done = build(book)
    assert done.returncode == 0, done.stderr
    return book


def offered(book: Path) -> Any:
    return nbformat.read(book / "_build/html/_sources/book/first.ipynb", as_version=4)


def test_numbers_citations_and_references_stand_in_the_notebook_as_on_the_page(small: Path) -> None:
    text = prose(offered(small))
    assert not RAW.search(text)
    for piece in (
        "The value is 12.3, a word, by (1), Theorem 1, A section,",
        "Good [1952] and [Cover and Thomas, 2006]; see [Page](second.ipynb) and words.",
        r"Five\_stars cost \$5 \< 6.",
        "$$\n\\begin{split}a &= b \\\\ c &= d\\end{split} \\tag{1}\n$$",
        r"| $\vert{}x\vert{}$ | a **length** |",
        "> **Theorem 1 (Of $x$)**\n>\n> It holds.\n>\n> - Always.",
        "> **Proof.** Clear.",
        "> **In short**\n>\n> Done.",
        "<details>\n<summary>Derivation</summary>\n\nBy hand.\n\n</details>",
        "> **Exercise 1**\n>\n> Why?",
        "<details>\n<summary>Solution</summary>\n\nBecause\n\n```\nx = 1\n```\n\n</details>",
        "- I. J. Good. Rational decisions.",
        "[doi:10.1002/047174882X](https://doi.org/10.1002/047174882X).",
    ):
        assert piece in text


def test_what_the_page_hides_is_folded_and_what_only_the_build_needs_is_gone(small: Path) -> None:
    install, first, hidden = [cell for cell in offered(small).cells if cell.cell_type == "code"]
    assert 'pip install --quiet "lossviz[book]"' in install.source
    assert install.metadata.jupyter.source_hidden
    assert "jupyter" not in first.metadata
    assert hidden.metadata.jupyter.source_hidden
    (output,) = hidden.outputs
    assert output.data == {"text/plain": "'shown'"}


def test_a_page_runs_elsewhere_only_where_an_address_is_set(small: Path) -> None:
    page = small / "_build/html/book/first.html"
    assert "mybinder" not in page.read_text()
    assert not (small / "_build/html/requirements.txt").exists()
    before = offered(small)

    settings = small / "_config.yml"
    address = "https://github.com/someone/losses"
    settings.write_text(
        settings.read_text().replace("repository_url: ''", f"repository_url: {address}")
    )
    done = build(small)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    notebook = "gh-pages/_sources/book/first.ipynb"
    assert f"https://colab.research.google.com/github/someone/losses/blob/{notebook}" in text
    assert "https://mybinder.org/v2/gh/someone/losses/gh-pages?urlpath=lab/tree/_sources" in text
    assert f"git+{address}\n" in (small / "_build/html/requirements.txt").read_text()
    assert "mybinder" not in (small / "_build/html/book/words.html").read_text()
    assert offered(small) == before

    settings.write_text(settings.read_text().replace(address, "https://example.org/losses"))
    failed = build(small)
    assert "must be https://github.com/OWNER/NAME or empty" in failed.stdout + failed.stderr


def test_a_link_leads_to_a_notebook_else_to_the_published_site_else_nowhere(tmp_path: Path) -> None:
    notebook = tmp_path / "jupyter_execute" / "book" / "second.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.touch()
    app = SimpleNamespace(
        outdir=tmp_path / "html",
        config=SimpleNamespace(html_baseurl=""),
        builder=SimpleNamespace(get_target_uri=lambda page: f"{page}.html"),
    )
    uris = ("https://a.org", "second.html#here", "atlas/focal.html", "#here")
    address = extension("lossviz_notebooks").address
    home = [address(app, "book/first", uri) for uri in uris]
    assert home == ["https://a.org", "second.ipynb", None, None]
    app.config.html_baseurl = "https://b.org/losses/"
    published = [address(app, "book/first", uri) for uri in uris]
    site = "https://b.org/losses/book"
    assert published[2:] == [f"{site}/atlas/focal.html", f"{site}/first.html#here"]
    assert published[:2] == home[:2]


def test_no_notebook_of_the_book_has_raw_markup(site: Path) -> None:
    notebooks = sorted((site / "_sources").rglob("*.ipynb"))
    assert len(notebooks) >= 8
    for path in notebooks:
        text = prose(nbformat.read(path, as_version=4))
        assert not RAW.search(text), (path.name, RAW.findall(text))


def brought_along() -> set[str]:
    """Names of all distributions that ``pip install "lossviz[book]"`` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [*project["dependencies"], *project["optional-dependencies"]["book"]]
    found = {"lossviz"}
    while waiting:
        name = canonicalize_name(Requirement(waiting.pop()).name)
        if name not in found:
            found.add(name)
            with suppress(PackageNotFoundError):  # one for another system
                waiting += [more for more in requires(name) or () if "extra ==" not in more]
    return found


def imported(code: str) -> set[str]:
    """Packages that code imports, without the standard library's."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_pages_import_what_the_book_extra_brings_along() -> None:
    brought, homes = brought_along(), packages_distributions()
    texts = [page.read_text() for page in (ROOT / "book").glob("*.md")]
    notebooks = [jupytext.reads(text, fmt="md:myst") for text in texts if "{code-cell}" in text]
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    wanted = imported("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    assert {"lossviz", "myst_nb", "torch"} <= wanted
    assert [name for name in wanted if not brought & set(map(canonicalize_name, homes[name]))] == []
