// The page: controls that set the state, and everything that follows from it.

const HOST = document.getElementById("lossviz-playground");
const ROOT = HOST.dataset.root;  // the folder _static as the page reaches it
const NONE = "none", PAUSE = 250;  // milliseconds of rest after which the address follows

const scripts = new Map();
function load(path) {
  if (!scripts.has(path)) {
    scripts.set(path, new Promise((resolve, reject) => {
      const script = element("script", { src: `${ROOT}${path}` });
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${path} is missing`));
      document.head.append(script);
    }));
  }
  return scripts.get(path);
}

const swatch = (k) => element("span", { class: `playground-swatch playground-series-${k}`,
  "aria-hidden": "true" });
const part = (name, ...children) => element("div", { class: `playground-${name}` }, ...children);

/** A labelled range; `stops` are the only values that it can take, where they are given. */
function range(id, label, { start, stop, step, stops, low = "", high = "" }, value, set) {
  const ends = stops ? [0, stops.length - 1] : [Math.min(start, value), Math.max(stop, value)];
  const input = element("input", { type: "range", id, min: ends[0], max: ends[1],
    step: stops ? 1 : step,
    "aria-describedby": `${id}-ends` });
  const output = element("output", { for: id });
  const show = (number) => {
    input.value = stops ? stops.indexOf(number) : number;
    output.value = SHORT(number);
    input.setAttribute("aria-valuetext", SHORT(number));
  };
  input.addEventListener("input", () => {
    const number = stops ? stops[Number(input.value)] : Number(input.value);
    show(number);
    set(number);
  });
  show(value);
  const node = part("control", element("label", { for: id }, label), output, input,
    element("span", { class: "playground-ends", id: `${id}-ends` }, element("span", {}, low),
      element("span", {}, high)));
  return { node, show };
}

function select(id, label, options, value, set) {
  const node = element("select", { id }), name = element("label", { for: id }, ...label);
  node.append(...options);
  node.value = value;
  node.addEventListener("change", () => set(node.value));
  return part("control", name, node);
}

class Playground {
  constructor() {
    this.state = initial();
    this.slots = Array.from({ length: MOST }, (_, k) => this.slot(k));
    this.controls = part("controls", ...this.slots.map(({ node, parameters }) =>
      part("loss", node, parameters)), this.common());
    this.notice = element("p", { class: "playground-notice", role: "status" });
    this.curves = part("curves");
    this.planes = part("planes");
    this.table = part("table");
    this.code = element("pre", { tabindex: 0, role: "region", "aria-label": "Python" });
    this.drawn = { shape: "", curves: [], planes: [] };
    this.queue = Promise.resolve();
    const panel = element("details", { class: "playground-panel", open: "" },
      element("summary", {}, "Losses and parameters"), this.controls);
    HOST.replaceChildren(panel, this.notice, ...[
      ["Loss, pull and weight", this.curves], ["Landscapes and gradient flow", this.planes],
      ["An easy, a hard and a mislabelled example", this.table],
    ].flatMap(([title, node]) => [element("h2", {}, title), node]),
    element("h2", {}, "The same in Python"), this.buttons(), this.code);
    window.addEventListener("hashchange", () => {
      const { hash } = location;
      if (!isPlace(hash) && hash !== written(this.state)) this.open(hash);
    });
  }

  buttons() {
    const told = element("span", { role: "status" });
    const copy = (label, text, node) => {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => {
        const copied = navigator.clipboard?.writeText(text()) ?? Promise.reject();
        copied.then(() => { told.textContent = "Copied."; }, () => {
          if (node) getSelection().selectAllChildren(node);
          told.textContent = node ? "Selected: copy it with the keyboard." : "Copy the address.";
        });
      });
      return button;
    };
    const reset = element("button", { type: "button" }, "Start again");
    reset.addEventListener("click", () => this.open(""));
    return part("buttons", copy("Copy as code", () => this.code.textContent, this.code),
      copy("Copy the link",
        () => location.href.split("#")[0] + written(this.state)), reset, told);
  }

  /** Take the state of a fragment and say what of it could not be had. */
  open(fragment) {
    const { state, dropped } = read(fragment);
    const more = dropped.length > 5 ? [`and ${dropped.length - 5} more`] : [];
    this.notice.textContent = dropped.length
      ? `Not all of this link could be used: ${[...dropped.slice(0, 5), ...more].join("; ")}.` : "";
    this.state = state;
    this.build();
    const drawn = this.changed();
    clearTimeout(this.pause);
    if (!isPlace(fragment)) this.address();
    return drawn;
  }

  address() { history.replaceState(null, "", written(this.state)); }

  /** Draw the state, after what is being drawn; of several that wait only the last is drawn. */
  changed(change = {}) {
    const wanted = this.state = { ...this.state, ...change };
    HOST.dataset.lossviz = "busy";
    clearTimeout(this.pause);  // browsers refuse an address that changes with every pixel
    this.pause = setTimeout(() => this.address(), PAUSE);
    this.queue = this.queue.then(() => (wanted === this.state ? this.draw(wanted) : undefined))
      .catch((error) => {
        this.notice.textContent = `The playground could not be drawn (${error.message}).`;
        HOST.dataset.lossviz = "failed";
      });
    return this.queue;
  }

  /** A group of controls for one loss; the list stays the same element while one types in it. */
  slot(k) {
    const families = new Map();
    for (const [key, { title, family }] of Object.entries(DATA.catalogue)) {
      const option = element("option", { value: key }, title);
      families.set(family, [...(families.get(family) ?? []), option]);
    }
    const options = [...families].map(([label, all]) => element("optgroup", { label }, ...all));
    if (k) options.unshift(element("option", { value: NONE }, NONE));
    const node = select(`playground-loss-${k}`, [swatch(k), `Loss ${k + 1}`], options, NONE,
      (key) => this.choose(k, key));
    return { node, list: node.querySelector("select"), parameters: element("div") };
  }

  /** Bring the controls to the state. */
  build() {
    const { state } = this;
    for (const [k, { list, parameters }] of this.slots.entries()) {
      const key = state.losses[k];
      if (list.value !== (key ?? NONE)) list.value = key ?? NONE;
      for (const option of list.querySelectorAll("optgroup option")) {
        option.disabled = state.losses.includes(option.value) && option.value !== key;
      }
      parameters.replaceChildren(...(key ? this.ranges(key) : []));
    }
    this.against.value = state.against;
    this.noise.show(state.noise);
    this.starts.forEach(({ show }, i) => show(state.start[i]));
  }

  ranges(key) {
    return DATA.catalogue[key].parameters.map((parameter) => {
      const ends = { ...parameter, low: parameter.at_low, high: parameter.at_high };
      const value = valuesOf(this.state, key)[parameter.name];
      const set = (number) => this.changed({ settings: { ...this.state.settings,
        [key]: { ...this.state.settings[key], [parameter.name]: number } } });
      return range(`playground-${key}-${parameter.name}`, parameter.label, ends, value, set).node;
    });
  }

  /** The controls that belong to no loss. */
  common() {
    const span = { start: -DATA.extent, stop: DATA.extent, step: 0.1 };
    this.starts = ["towards class 1", "class 2 against class 3"].map((label, k) =>
      range(`playground-start-${k}`, `start of the path, ${label}`, span, DATA.start[k],
        (number) => this.move(this.state.start.map((x, i) => (i === k ? number : x)))));
    this.noise = range("playground-noise", "label noise in the landscapes",
      { start: 0, stop: DATA.noise, step: 0.02, low: "the label is always class 1",
        high: "in two of five examples only" }, 0, (noise) => this.changed({ noise }));
    const axes = select("playground-against", ["horizontal axis"],
      AGAINST.map((value) => element("option", { value }, value)), AGAINST[0],
      (against) => this.changed({ against }));
    this.against = axes.querySelector("select");
    return part("common", axes, this.noise.node, ...this.starts.map(({ node }) => node));
  }

  choose(k, key) {
    const losses = [...this.state.losses];
    if (key === NONE) losses.splice(k, 1);
    else losses[Math.min(k, losses.length)] = key;
    this.state = { ...this.state, losses };
    this.notice.textContent = "";
    this.build();
    this.changed();
  }

  move(place) {
    const start = place.map((x) => Math.round(x * 100) / 100);
    this.starts.forEach(({ show }, k) => show(start[k]));
    this.changed({ start });
  }

  async draw(state) {
    await load("vendor/lossviz-vega.js");
    await load("vendor/lossviz-live.js");
    await Promise.all(state.losses.map((key) => load(`playground/${key}.js`)));
    const found = state.losses.map((key, place) => ({ ...numbersOf(state, key), place }));
    const shared = groups(state.losses);
    await this.frame(state, shared);
    await Promise.all([
      ...shared.map((keys, k) => showCurves(this.drawn.curves[k],
        found.filter(({ key }) => keys.includes(key)), state)),
      ...found.map((numbers, k) => showPlane(this.drawn.planes[k], numbers, state)),
    ]);
    this.table.replaceChildren(...tables(found.filter(({ entry }) => entry.fields === "margin")));
    this.code.textContent = python(state);
    if (state === this.state) HOST.dataset.lossviz = "ready";
  }

  /** Make the pictures anew where other losses are to be drawn than before. */
  async frame(state, shared) {
    const shape = state.losses.join();
    if (shape === this.drawn.shape) return;
    for (const { end } of [...this.drawn.curves, ...this.drawn.planes]) end?.();
    this.drawn = { shape: "", curves: [], planes: [] };
    this.curves.replaceChildren();
    this.planes.replaceChildren();
    for (const keys of shared) {
      this.curves.append(legend(keys.map((key) => [key, state.losses.indexOf(key)])));
      for (const { fields, title, axes, sampled: over } of keys.map((key) => DATA.catalogue[key])) {
        if (fields === "margin") continue;
        this.curves.append(element("p", { class: "playground-over" },
          `${title}: the cut where ${axes[1].label} is ${SHORT(over.cut)}.`));
      }
      const { fields: quantities } = DATA.catalogue[keys[0]];
      this.drawn.curves.push(await picture(this.curves, `curves-${quantities}`));
    }
    const row = part("row");
    this.planes.append(row);
    for (const [place, key] of state.losses.entries()) {
      const cell = part("cell", legend([[key, place]]));
      row.append(cell);
      const { sampled: over, axes } = DATA.catalogue[key];
      if (over) {
        cell.append(element("p", { class: "playground-over" }, `Computed over ${over.over}.`));
      }
      const made = await picture(cell, `plane-${over?.side ?? DATA.side}`);
      made.view?.addSignalListener("moved", (_, point) => this.move(point.map((x, k) => {
        const [low, high] = axes[k].span;
        return DATA.extent * ((2 * (x - low)) / (high - low) - 1);
      })));
      this.drawn.planes.push(made);
    }
    this.drawn.planes.push(await picture(this.planes, "key"));
    this.drawn.shape = shape;
  }
}

function legend(losses) {
  return element("p", { class: "playground-legend" }, ...losses.map(([key, place]) =>
    element("span", {}, swatch(place), element("a", { href: `atlas/${key}.html` },
      DATA.catalogue[key].title))));
}

/** What each loss does to the three examples; nothing where none is of class logits. */
function tables(found) {
  if (!found.length) return ["These losses are not of one label and the margin of its logit."];
  const head = element("tr", {}, element("th", { scope: "col" }, "loss"),
    ...Object.entries(DATA.examples).map(([name, p]) =>
      element("th", { scope: "col" }, `${name}: ${100 * p} % for its label`)));
  const rows = found.map((numbers) => {
    const sizes = numbers.examples.map(({ pull }) => Math.abs(pull));
    const all = sizes.reduce((a, b) => a + b);
    return element("tr", {}, element("th", { scope: "row" }, swatch(numbers.place), named(numbers)),
      ...numbers.examples.map(({ value, pull, weight }, k) => element("td", {},
        `loss ${SHORT(value)}, pull ${SHORT(pull)}, weight ${SHORT(weight)}: `,
        element("strong", {}, `${all ? Math.round((100 * sizes[k]) / all) : 0} % of the pull`))));
  });
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  return [element("div", { class: "playground-scroll", tabindex: 0, role: "region",
    "aria-label": "What each loss does to three examples" }, table)];
}

function start() {
  const playground = new Playground();
  HOST.playground = playground;
  playground.open(location.hash);
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
