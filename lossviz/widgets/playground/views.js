// The pictures: which losses share one, and what is handed to Vega. They are drawn by the runtime
// of all live figures, which knows the theme, the width offered and how a point is dragged.

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const SHORT = (number) => {
  if (!Number.isFinite(number)) return `${number}`.replace("NaN", "not a number");
  const text = Math.abs(number) >= 1e5 || (number && Math.abs(number) < 1e-3)
    ? number.toExponential(1) : `${Number(number.toPrecision(3))}`;
  return text.replaceAll("-", "\u2212");
};

/** How a loss is named below a picture: its title and the values of its parameters. */
function named({ entry, values }) {
  const given = entry.parameters.map(({ name }) => `${name} = ${SHORT(values[name])}`);
  return given.length ? `${entry.title} (${given.join(", ")})` : entry.title;
}

/** An empty picture in `host`; returns how to fill it and how to end it. */
async function picture(host, name) {
  const stage = element("div");
  host.append(element("figure", { class: "lossviz-live" }, stage));
  const model = { get: () => structuredClone(DATA.pictures[name]) };
  const end = await window.lossvizLive.render({ model, el: stage });
  const view = stage.lossviz?.view;
  return {
    view,
    end,
    async show(alt, signals, tables) {
      if (!view) return;  // the stage says why it could not be drawn
      for (const [signal, value] of Object.entries(signals)) view.signal(signal, value);
      for (const [table, rows] of Object.entries(tables)) view.data(table, rows);
      await view.runAsync();
      stage.querySelector("[role=img]").setAttribute("aria-label", alt);  // of the present state
    },
  };
}

/** The losses by the axis of their curves: one group is drawn in one picture. */
function groups(keys) {
  const found = new Map();
  for (const key of keys) {
    const { fields, axes: [axis] } = DATA.catalogue[key];
    const name = fields === "margin" ? fields : JSON.stringify([fields, axis]);
    found.set(name, [...(found.get(name) ?? []), key]);
  }
  return [...found.values()];
}

/** Ends of an axis for all frames of all losses, so that steeper looks steeper. */
function reach(keys, field) {
  const numbers = keys.flatMap((key) =>
    DATA.losses[key].frames.flatMap((frame) => frame[field] ?? [0]));
  const [low, high] = numbers.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)],
    [Infinity, -Infinity]);
  return low < high ? [low, high] : [low - 1, high + 1];
}

function showCurves(drawing, found, state) {
  const [{ entry }] = found, margins = entry.fields === "margin";
  const byP = margins && state.against === "probability";
  const along = margins ? (byP ? "p" : "margin") : "x";
  const across = { p: "probability of the label", margin: "margin of the label (nats)",
    x: entry.axes[0].label }[along];
  const span = { p: [0, 1], margin: [-DATA.margin, DATA.margin], x: entry.axes[0].span }[along];
  const signals = { across, span };
  const keys = found.map(({ key }) => key);
  for (const field of ["value", "pull", "weight"]) {
    if (margins) signals[`${field}_span`] = DATA.spans[field];
    else if (field === "pull" || (field === "value" && entry.fields === "plane")) {
      signals[`${field}_span`] = reach(keys, field);
    }
  }
  const tables = {}, placed = (rows) => rows.map((each) => ({ ...each, x: each[along] }));
  for (let k = 0; k < MOST; k += 1) {
    const of = found.find(({ place }) => place === k);
    tables[`curve${k}`] = of ? placed(of.curve) : [];
    tables[`dots${k}`] = of ? placed(of.examples) : [];
  }
  const names = Object.entries(DATA.examples);
  tables.examples = !margins ? [] : names.map(([name, p], k) => ({
    name, x: byP ? p : logit(p),
    align: byP ? ["right", "center", "left"][k] : "center",
  }));
  const what = { margin: "Loss, pull and weight", plane: "Loss and pull", pull: "Pull" };
  return drawing.show(`${what[entry.fields]} of ${found.map(named).join("; ")}, over ${across}.`,
    signals, tables);
}

function showPlane(drawing, numbers, state) {
  const { entry, plane, spans, start, path } = numbers;
  const lowest = plane.reduce((a, b) => Math.min(a, b), Infinity);
  const marks = path.filter(({ time }) => DATA.times.includes(time));
  const bounded = spans.flat().map(Math.abs).every((end) => end === DATA.extent)
    && entry.axes[0].label.startsWith("u:");
  const share = (mark, k) => (mark["xy"[k]] - spans[k][0]) / (spans[k][1] - spans[k][0]);
  const apart = (mark, other) => Math.hypot(...[0, 1].map((k) => share(mark, k) - share(other, k)));
  const times = marks.map((mark, k) => {
    const last = mark.time === DATA.times.at(-1);  // stands below, the others above their dots
    const close = k > 0 && !last && apart(mark, marks[k - 1]) < 0.2;
    return { ...mark, last, right: share(mark, 0) > 0.8, text: close ? "" : `t = ${mark.time}` };
  });
  return drawing.show(
    `${named(numbers)} as contours over ${entry.axes.map((axis) => axis.label).join(" and ")}. `
      + `${walked(numbers, state)}`,
    {
      numbers: plane, lowest, levels: DATA.levels.map((level) => lowest + level), spans, start,
      titles: entry.axes.map((axis) => axis.label), bounded, said: walked(numbers, state),
    },
    { path, times },
  );
}

/** Where the path leads, as a sentence. */
function walked({ entry, path, start }, state) {
  const from = `From ${start.map(SHORT).join(", ")}`;
  if (!path.length) return `Drawn is the ${entry.sampled.shown}, which no path follows.`;
  const last = path.at(-1), place = [last.x, last.y];
  const unheard = entry.sampled && state.noise ? " Label noise does not reach this loss." : "";
  if (entry.fields !== "margin") {
    const to = `${place.map(SHORT).join(", ")} at time ${SHORT(last.time)}`;
    return `${from} downhill to ${to}.${unheard}`;
  }
  const p = (point) => softmax(logitsOf(point));
  const leads = path.find(({ x, y }) => Math.max(...p([x, y])) === p([x, y])[0]);
  const when = !leads ? "class 1 does not take the lead"
    : leads.time ? `class 1 takes the lead at time ${SHORT(leads.time)}` : "class 1 leads already";
  const percent = (share) => `${SHORT(100 * share)} %`;
  return `${from}: ${when}; its probability goes from ${percent(p(start)[0])} to `
    + `${percent(p(place)[0])} by time ${SHORT(last.time)}.${unheard}`;
}
