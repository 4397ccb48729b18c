"""A page as plain Markdown, with numbers, citations and references as the page shows them.

It is written from the page's resolved document tree, in what every Jupyter shows: no role and no
directive is left. Theorems and admonitions become quotations with a bold title, solutions fold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from textwrap import indent
from types import SimpleNamespace

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.math import get_node_equation_number

SPECIAL = re.compile(r"([\\`*_<$|])")
MATHS = re.compile(r"\$[^$]+\$")
IDENTIFIER = re.compile(r"\b(doi|arXiv):(\S+?)(?=[.,]?(?:\s|$))")
RESOLVERS = {"doi": "https://doi.org/", "arXiv": "https://arxiv.org/abs/"}


def quoted(text: str) -> str:
    """Markdown as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def item(mark: str, text: str) -> str:
    """Markdown as an item of a list."""
    return mark + indent(text, " " * len(mark)).lstrip()


class Markdown:
    """Writes the nodes of one page.

    `address` says where a link to another page leads, or None where it would lead nowhere.
    """

    def __init__(self, app: Sphinx, page: str, address: Callable[[str], str | None]) -> None:
        self.builder = app.builder
        self.numbers = app.env.toc_fignumbers.get(page, {})
        self.address = address
        self.works: dict[str, None] = {}  # cited so far, in order

    def blocks(self, children: Iterable[nodes.Node]) -> str:
        """Blocks, one below another."""
        return "\n\n".join(filter(None, map(self.block, children)))

    def block(self, node: nodes.Node) -> str:
        """One block; what has no method of its own is its children, or its text."""
        write = getattr(self, f"block_{type(node).__name__}", None)
        if write:
            return write(node)
        if isinstance(node, nodes.Text | nodes.Inline | nodes.image):
            return self.inline(node)
        if isinstance(node, nodes.TextElement):
            return self.inlines(node)
        if isinstance(node, nodes.Admonition):
            return self.admonition(node)
        return self.blocks(node.children)

    def inlines(self, node: nodes.Node) -> str:
        """The text of a paragraph or a title."""
        return "".join(map(self.inline, node.children)).strip()

    def inline(self, node: nodes.Node) -> str:
        """A piece of text."""
        write = getattr(self, f"inline_{type(node).__name__}", None)
        return write(node) if write else "".join(map(self.inline, node.children))

    # Text

    def inline_Text(self, node: nodes.Text) -> str:
        return SPECIAL.sub(r"\\\1", node.astext())

    def inline_emphasis(self, node: nodes.emphasis) -> str:
        return f"*{self.inlines(node)}*"

    def inline_strong(self, node: nodes.strong) -> str:
        return f"**{self.inlines(node)}**"

    def inline_literal(self, node: nodes.literal) -> str:
        text = node.astext()
        return f"`` {text} ``" if "`" in text else f"`{text}`"

    def inline_math(self, node: nodes.math) -> str:
        return f"${' '.join(node.astext().split())}$"

    def inline_raw(self, node: nodes.raw) -> str:
        return node.astext() if "html" in node["format"] else ""

    block_raw = inline_raw

    def inline_reference(self, node: nodes.reference) -> str:
        if isinstance(node.parent, nodes.inline) and "bibtex-citation" in node.parent["classes"]:
            self.works[node.get("reftitle", node.astext())] = None
        text = self.inlines(node)
        where = self.address(node.get("refuri") or f"#{node.get('refid', '')}")
        return f"[{text}]({where})" if where else text

    def inline_image(self, node: nodes.image) -> str:
        return f"*{node.get('alt', '')}*"

    def inline_footnote_reference(self, node: nodes.footnote_reference) -> str:
        return f"<sup>{node.astext()}</sup>"

    def block_footnote(self, node: nodes.footnote) -> str:
        label, *content = node.children
        return f"<sup>{label.astext()}</sup> {self.blocks(content)}"

    # Blocks

    def block_comment(self, node: nodes.comment) -> str:
        return ""

    block_target = block_substitution_definition = block_index = block_comment

    def block_title(self, node: nodes.title) -> str:
        depth, above = 0, node.parent
        while above is not None:
            depth += isinstance(above, nodes.section)
            above = above.parent
        return f"{'#' * depth} {self.inlines(node)}"

    def block_transition(self, node: nodes.transition) -> str:
        return "---"

    def block_math_block(self, node: nodes.math_block) -> str:
        body = node.astext().strip()
        if r"\\" in body and not body.startswith(r"\begin"):
            body = rf"\begin{{split}}{body}\end{{split}}"
        if node.get("label"):
            number = get_node_equation_number(SimpleNamespace(builder=self.builder), node)
            body += rf" \tag{{{number}}}"
        return f"$$\n{body}\n$$"

    def block_literal_block(self, node: nodes.literal_block) -> str:
        language = node.get("language", "").removeprefix("none")
        return f"```{language}\n{node.astext().rstrip()}\n```"

    def block_block_quote(self, node: nodes.block_quote) -> str:
        return quoted(self.blocks(node.children))

    def block_bullet_list(self, node: nodes.bullet_list) -> str:
        return "\n".join(item("- ", self.blocks(child.children)) for child in node.children)

    def block_enumerated_list(self, node: nodes.enumerated_list) -> str:
        numbered = enumerate(node.children, node.get("start", 1))
        return "\n".join(item(f"{k}. ", self.blocks(child.children)) for k, child in numbered)

    def block_definition_list_item(self, node: nodes.definition_list_item) -> str:
        *terms, definition = node.children
        names = ", ".join(map(self.inlines, terms))
        return item("- ", f"**{names}**: {self.blocks(definition.children)}")

    def block_table(self, node: nodes.table) -> str:
        rows = [list(map(self.entry, row.children)) for row in node.findall(nodes.row)]
        ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
        return "\n".join(f"| {' | '.join(row)} |" for row in ruled)

    def entry(self, node: nodes.entry) -> str:
        """A cell of a table, which a line or a bar would end."""
        text = self.blocks(node.children).replace("\n", " ")
        return MATHS.sub(
            lambda maths: maths[0].replace(r"\|", r"\Vert{}").replace("|", r"\vert{}"), text
        )

    # What has a title

    def admonition(self, node: nodes.Element) -> str:
        """A quotation under a bold title, with its number, or what the page folds, folded."""
        titled = bool(node.children) and isinstance(node.children[0], nodes.title)
        title = self.inlines(node.children[0]) if titled else ""
        body = self.blocks(node.children[titled:])
        if "dropdown" in node["classes"]:
            return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
        kind = node.get("realtype", node.get("type", ""))
        counter = self.numbers.get(node.get("countertype", kind), {})
        number = ".".join(map(str, counter.get(node["ids"][0], ()))) if kind else ""
        heading = " ".join(filter(None, (kind.title(), number, title)))
        return quoted(f"**{heading}**\n\n{body}" if heading else body)

    def block_proof_node(self, node: nodes.Element) -> str:
        return self.blocks(node.children).replace("> Proof.", "> **Proof.**", 1)

    def bibliography(self) -> str:
        """The works that were cited so far, in order."""
        lines = (item("- ", self.inline(nodes.Text(work))) for work in self.works)
        return IDENTIFIER.sub(
            lambda found: f"[{found[0]}]({RESOLVERS[found[1]]}{found[2]})", "\n".join(lines)
        )
