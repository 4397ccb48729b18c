"""What axe-core finds on a page that is a serious barrier, in light and in dark."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python

from ..rest import rest
from .conftest import Visit

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
COLOURS = {"color-contrast": "[data-fresh]", "link-in-text-block": "a[href][data-fresh]"}
# The glyphs of a formula are hidden from assistive technology, drawn by its style sheet, where axe
# does not look, and most of the elements of a page: their place alone is left.
WITHOUT_GLYPHS = """() => {
    const all = [...document.querySelectorAll("mjx-math[aria-hidden=true]")];
    const boxes = all.map((formula) => formula.getBoundingClientRect());
    all.forEach((formula, number) => {
        const { width, height } = boxes[number];
        Object.assign(formula.style, { width: `${width}px`, height: `${height}px` });
        formula.replaceChildren();
    });
}"""
# All that contrast depends on, from the root down; where it is the same, so is the verdict. What
# formulas hold beside their glyphs is not seen.
MARK = """(known) => {
    const STYLES = ["color", "backgroundColor", "backgroundImage", "opacity", "fontSize",
        "fontWeight", "position", "display", "textDecorationLine", "borderBottom"];
    const kinds = new Set(known);
    function look(element, above) {
        const style = getComputedStyle(element);
        if (style.display === "none" || element.matches("mjx-container")) return;
        let kind = above;
        for (const letter of element.tagName + STYLES.map((name) => style[name])) {
            kind = (Math.imul(31, kind) + letter.codePointAt(0)) | 0;
        }
        const text = [...element.childNodes].some(({ data }) => data?.trim())
            || element.matches("a[href], input, select");
        const fresh = text && !kinds.has(kind)
            && element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
        if (fresh) kinds.add(kind);
        element.toggleAttribute("data-fresh", fresh);
        for (const child of element.children) look(child, kind);
    }
    look(document.body, 0);
    return [...kinds].slice(known.length);
}"""
VIOLATIONS = """async ([colours, only]) => {
    axe.configure({ rules: Object.entries(colours).map(([id, selector]) => ({ id, selector })) });
    const { violations } = await axe.run(document, {
        resultTypes: ["violations"],
        preload: false,  // what style sheets and media hold is no matter of these rules
        ...(only && { runOnly: { type: "rule", values: Object.keys(colours) } }),
    });
    return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
        .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((n) => n.html).join(" | ")}`);
}"""


def barriers(seen: Visit, known: dict[str, list[int]]) -> list[str]:
    """What stands in the way of a reader of this page, which is left in the dark.

    The colours of a kind of text are judged where it first stands: `known` holds, for each scheme,
    the kinds of the pages before. The dark changes colours and nothing else.
    """
    page = seen.page
    page.add_script_tag(path=AXE)
    page.evaluate(WITHOUT_GLYPHS)
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        rest(page)
        fresh = page.evaluate(MARK, known.setdefault(scheme, []))
        known[scheme] += fresh
        if scheme == "light" or fresh:
            violations = page.evaluate(VIOLATIONS, [COLOURS, scheme == "dark"])
            found += [f"{scheme}: {each}" for each in violations]
    return found
