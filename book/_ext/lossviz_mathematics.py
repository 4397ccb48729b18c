r"""Sets the formulas of plain text as TeX: "tau >= 1" becomes ``$\tau \ge 1$``.

Declarations are written to be read in a terminal as well, so their sentences hold formulas as one
types them. A run of numbers, variables, functions and operators is a formula; a word that is none
of these ends it. Code, TeX and roles are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "lambda", "mu", "nu", "pi", "rho",
    "sigma", "tau", "Phi", "phi", "Delta",
)  # fmt: skip
NAMES = {
    **{name: rf"\{name}" for name in GREEK},
    "lam": r"\lambda",
    "eps": r"\varepsilon",
    "ε": r"\varepsilon",
    "inf": r"\infty",
    "infinity": r"\infty",
}
FUNCTIONS = {
    **{name: rf"\{name}" for name in ("log", "exp", "min", "max", "sin", "cos")},
    "sqrt": r"\sqrt",
    **{
        name: rf"\mathrm{{{name}}}"
        for name in ("softplus", "softmax", "sigmoid", "KL", "log1p", "expm1")
    },
}
OPERATORS = {
    "<=": r"\le", ">=": r"\ge", "||": r"\,\|\,", "*": r"\cdot", "->": r"\to", "in": r"\in",
    "to": r"\to",
}  # fmt: skip
KEEP = re.compile(r"(`+[^`]*`+|\$[^$]*\$|\{[\w:]+\}`[^`]*`|\]\([^)]*\)|https?://\S+)")
TOKEN = re.compile(
    r"(?P<interval>(?<=\bin )[\[(][^\[\]()]*,[^\[\]()]*[\])])"
    r"|(?P<number>(?<![\w.])(?<!\w-)\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w-]|\.\d))"
    r"|(?P<word>(?<![\w'])(?<!\w-)[A-Za-zε]+\d*'?(?:_\w+)*(?![\w'-]))"
    r"|(?P<operator><=|>=|\|\||->|[=<>^/*+\-,()\[\]])"
)
# a word of English (``a``, ``margin``) is a variable only beside one of these
BEFORE = re.compile(r"(?:[=<>^/*+]|\w\(|(?<= )-|[(,] ?-) ?$")
AFTER = re.compile(r" ?[=<>^/*+)]| - | to (?:0|inf)| in [\[(]")
LIMIT = re.compile(r" (?:0|inf(?:inity)?)\b")
OPEN, CLOSED = {"(": ")", "[": "]"}, {")": "(", "]": "["}

Token = tuple[str, str, int, int]  # what it is, as written, start, end


def typeset(
    text: str, symbols: Mapping[str, str] | None = None, quotes: tuple[str, str] = ("$", "$")
) -> str:
    """The text with its formulas as TeX between `quotes`; `symbols` is the TeX of further names."""
    known = {**NAMES, **(symbols or {})}
    parts = KEEP.split(text)
    parts[::2] = (_typeset_prose(part, known, quotes) for part in parts[::2])
    return "".join(parts)


def latex(formula: str, symbols: Mapping[str, str] | None = None) -> str:
    """The TeX of a text that is one formula, such as "tau in [0, 1]"."""
    known = {**NAMES, **(symbols or {})}
    return _latex([*_tokens(formula.replace(" to ", " -> "), known)], known)


def _typeset_prose(text: str, known: Mapping[str, str], quotes: tuple[str, str]) -> str:
    written, end = [], 0
    for run in _runs(text, known):
        written += [text[end : run[0][2]], quotes[0], _latex(run, known), quotes[1]]
        end = run[-1][3]
    return "".join([*written, text[end:]])


def _tokens(text: str, known: Mapping[str, str]) -> Iterator[Token]:
    for found in TOKEN.finditer(text):
        kind, written = found.lastgroup or "", found[0]
        if kind == "word":
            before, after = text[: found.start()], text[found.end() :]
            beside = BEFORE.search(before) or AFTER.match(after)
            if written == "in":
                kind = "operator" if after[:2] in (" [", " (") else "word"
            elif written == "to":
                kind = "operator" if LIMIT.match(after) else "word"
            elif written in FUNCTIONS:
                kind = "function"
            elif _is_symbol(written, known) and (beside or not _is_english(written)):
                kind = "name"
        yield kind, written, *found.span()


def _is_symbol(word: str, known: Mapping[str, str]) -> bool:
    """A known name or one letter, perhaps primed and with an index."""
    stem, _, index = word.replace("'", "").partition("_")
    return word in known or len(stem) == 1 or (stem in known and bool(index))


def _is_english(word: str) -> bool:
    return word in ("a", "A", "I") or (len(word) > 1 and word.isalpha() and word not in NAMES)


def _runs(text: str, known: Mapping[str, str]) -> Iterator[list[Token]]:
    """Maximal runs that are formulas."""
    run: list[Token] = []
    for token in _tokens(text, known):
        kind, _written, start, _ = token
        glued = run and text[run[-1][3] : start] in ("", " ")
        inside = any(t[1] in OPEN for t in run) and _depth(run) > 0
        if not glued or (kind == "word" and not (inside and _after_function(run))):
            yield from _trimmed(run)
            run = []
        if kind != "word" or run:
            run.append(token)
    yield from _trimmed(run)


def _depth(run: Iterable[Token]) -> int:
    return sum((t[1] in OPEN) - (t[1] in CLOSED) for t in run)


def _after_function(run: list[Token]) -> bool:
    """Whether the innermost open bracket is that of a function."""
    depth = 0
    for before, token in zip(reversed([("", "", 0, 0), *run[:-1]]), reversed(run), strict=True):
        depth += (token[1] in CLOSED) - (token[1] in OPEN)
        if depth < 0:
            return before[0] == "function"
    return False


def _trimmed(run: list[Token]) -> Iterator[list[Token]]:
    """The run without what cannot begin or end a formula, if anything mathematical is left."""
    while run and (
        (run[-1][0] == "operator" and run[-1][1] not in CLOSED) or run[-1][0] == "function"
    ):
        run = run[:-1]
    while run and run[0][0] == "operator" and run[0][1] not in (*OPEN, "-"):
        run = run[1:]
    if not run:
        return
    split = _unbalanced(run)
    if split is not None:  # a bracket of the sentence, not of the formula
        yield from _trimmed(run[:split])
        yield from _trimmed(run[split + 1 :])
        return
    if run[0][1] in OPEN and _closes(run) == len(run) - 1 and len(run) > 2:
        inner = [*_trimmed(run[1:-1])]
        yield from inner
        return
    commas = [i for i, t in enumerate(run) if t[1] == "," and _depth(run[:i]) == 0]
    if commas:  # a list of formulas is set one by one
        yield from _trimmed(run[: commas[0]])
        yield from _trimmed(run[commas[0] + 1 :])
        return
    if any(kind in ("name", "function") or "e" in word for kind, word, *_ in run):
        yield run


def _closes(run: list[Token]) -> int:
    depth = 0
    for i, token in enumerate(run):
        depth += (token[1] in OPEN) - (token[1] in CLOSED)
        if depth == 0:
            return i
    return -1


def _unbalanced(run: list[Token]) -> int | None:
    stack: list[int] = []
    for i, token in enumerate(run):
        if token[1] in OPEN:
            stack.append(i)
        elif token[1] in CLOSED:
            if not stack:
                return i
            stack.pop()
    return stack[0] if stack else None


def _latex(run: list[Token], known: Mapping[str, str]) -> str:
    written: list[str] = []
    i = 0
    while i < len(run):
        kind, text, *_ = run[i]
        before = run[i - 1][1] if i else ""
        if before in ("^", "sqrt") and text == "(":
            close = i + _closes(run[i:])
            written.append("{" + _latex(run[i + 1 : close], known) + "}")
            i = close + 1
            continue
        piece = _piece(kind, text, known)
        written.append(f"{{{piece}}}" if before == "^" else piece)
        i += 1
    return re.sub(r"\s+", " ", " ".join(written)).replace(" ^ ", "^").replace("( ", "(").strip()


def _piece(kind: str, text: str, known: Mapping[str, str]) -> str:
    if kind == "operator":
        return OPERATORS.get(text, text)
    if kind == "function":
        return FUNCTIONS[text]
    if kind == "interval":
        return re.sub(r"\binf\b|∞", r"\\infty", text)
    if kind == "number":
        digits, _, power = text.partition("e")
        tens = f"10^{{{int(power)}}}" if power else ""
        return tens if tens and float(digits) == 1 else digits + (rf" \cdot {tens}" if tens else "")
    if text in known:
        return known[text]
    stem, _, index = text.partition("_")
    prime = "'" * stem.endswith("'")
    stem = stem.rstrip("'")
    if len(stem) > 1 and stem not in known:
        return rf"\text{{{text}}}"
    below = f"_{{{index}}}" if index else ""
    return f"{known.get(stem, stem)}{prime}{below}"
