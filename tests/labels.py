"""Whether the texts of a live figure keep clear of each other and of the edge, in many states."""

from __future__ import annotations

from typing import Any

# the widths that a page offers: the book on a phone and on a desktop, and JupyterLab
WIDTHS = (326, 374, 646, 900)
MEASURE = """async (stage, [widths, count]) => {
  const view = stage.lossviz.view;
  const controls = [...stage.querySelectorAll("input[type=range], select")];
  const panes = Math.max(1, stage.querySelectorAll(".lossviz-panes button").length);
  let seed = 1;
  const random = () => (seed = (16807 * seed) % 2147483647) / 2147483647;

  function stops(control) {
    if (control.options) return [...control.options].map((option) => option.value);
    const [low, high, step] = [control.min, control.max, control.step].map(Number);
    const last = Math.round((high - low) / step);
    return [low, high, Number((low + step * Math.floor(random() * (last + 1))).toFixed(10))];
  }
  const state = (pick) => Object.fromEntries(
    controls.map((control) => [control.dataset.signal, pick(stops(control))]));
  const first = Object.fromEntries(
    controls.map((control) => [control.dataset.signal, view.signal(control.dataset.signal)]));
  const states = [first, state((all) => all[0]), state((all) => all[Math.min(1, all.length - 1)])];
  for (const control of controls) {
    for (const stop of stops(control)) states.push({ ...first, [control.dataset.signal]: stop });
  }
  const any = (all) => all[Math.floor(random() * all.length)];
  for (let k = 0; k < count; k++) states.push(state(any));

  function texts() {
    const found = [];
    const walk = (mark, left, top, bounds) => {
      for (const item of mark.items) {
        if (mark.marktype === "group") {
          const [x, y] = [left + (item.x ?? 0), top + (item.y ?? 0)];
          const inner = mark.clip || item.clip ? [x, y, x + item.width, y + item.height] : bounds;
          for (const child of item.items) walk(child, x, y, inner);
        } else if (mark.marktype === "text" && `${item.text ?? ""}`.trim()
            && item.opacity !== 0 && item.fillOpacity !== 0) {
          const { x1, y1, x2, y2 } = item.bounds;
          found.push({ text: item.text, bounds, box: [left + x1, top + y1, left + x2, top + y2] });
        }
      }
    };
    walk(view.scenegraph().root, 0, 0, [0, 0, view.width(), view.height()]);
    return found;
  }

  const faults = new Set();
  for (const width of widths.length ? widths : [view.signal("container")]) {
    for (const [number, values] of states.entries()) {
      view.signal("container", width).signal("dark", number % 2 === 1);
      for (const [name, value] of Object.entries(values)) view.signal(name, value);
      for (let pane = 0; pane < (view.signal("wide") ? 1 : panes); pane++) {
        if (panes > 1) view.signal("pane", pane);
        await view.runAsync();
        const where = `at ${width} px, pane ${pane}, ${JSON.stringify(values)}`;
        const found = texts();
        if (!found.length) faults.add(`no text ${where}`);
        found.forEach(({ text, box: a, bounds: b }, index) => {
          if (a[0] < b[0] - 1 || a[1] < b[1] - 1 || a[2] > b[2] + 1 || a[3] > b[3] + 1) {
            faults.add(`"${text}" is cut off ${where}`);
          }
          for (const { text: other, box: c } of found.slice(index + 1)) {
            const across = Math.min(a[2], c[2]) - Math.max(a[0], c[0]);
            const down = Math.min(a[3], c[3]) - Math.max(a[1], c[1]);
            if (across > 0 && down > 0) faults.add(`"${text}" lies on "${other}" ${where}`);
          }
        });
      }
    }
  }
  return [...faults];
}"""


def faults(stage: Any, *, widths: tuple[int, ...] = WIDTHS, states: int = 12) -> list[str]:
    """What is wrong with the labels of a figure, in words: nothing, if all is well.

    Tried are the first state, the ends of every control, and random `states`, half of them dark; on
    a narrow figure every panel; at the `widths`, or as wide as it is if there are none. `stage` is
    the locator of the figure, which keeps the last state.
    """
    found: list[str] = stage.evaluate(MEASURE, [list(widths), states])
    return found
