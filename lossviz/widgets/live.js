// Draws one live figure: a Vega picture with native controls. Host-neutral: `model` needs only
// get("figure"), so the same text serves JupyterLab (through anywidget) and a static page.

const STYLE = `
.lossviz-stage { color: inherit; max-width: 100%; }
.lossviz-picture { position: relative; line-height: 0; overflow: hidden; }
.lossviz-controls { display: grid; gap: .5rem 1.5rem; margin: .25rem 0 .5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); }
.lossviz-control { display: grid; grid-template-columns: 1fr auto; font-size: .9rem;
  line-height: 1.35; align-content: start; }
.lossviz-control input { grid-column: 1 / -1; width: 100%; min-height: 1.75rem; margin: 0;
  accent-color: #0072b2; }
.lossviz-control output { font-variant-numeric: tabular-nums; }
.lossviz-control select { font: inherit; min-height: 1.75rem; }
.lossviz-ends { grid-column: 1 / -1; display: flex; justify-content: space-between; gap: 1rem;
  font-size: .78rem; opacity: .8; }
.lossviz-ends span:last-child { text-align: right; }
.lossviz-handle { position: absolute; width: 36px; height: 36px; margin: -18px 0 0 -18px;
  border-radius: 50%; cursor: grab; touch-action: none; }
.lossviz-readout { font-size: .9rem; line-height: 1.4; min-height: 2.8em; margin: .25rem 0;
  font-variant-numeric: tabular-nums; }
.lossviz-announcement { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); margin: 0; }
.lossviz-failure { border: 1px solid; border-radius: 4px; padding: .5rem .75rem; }
.lossviz-live { margin: 1rem 0; }
.lossviz-live > .lossviz-still { max-width: 100%; height: auto; background: #fff; }
.lossviz-live:has(> [data-lossviz="ready"]) > .lossviz-still { display: none; }
@media print {
  .lossviz-live > .lossviz-stage { display: none; }
  .lossviz-live > .lossviz-still.lossviz-still { display: block; }
}`;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  if (theme) return theme === "dark";
  const lab = document.body.dataset.jpThemeLight;
  if (lab) return lab === "false";
  return window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Calls `changed` when the theme of the host may have changed; returns how to stop. */
function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", changed);
  };
}

// JupyterLab reads this: else the arrow keys move between its cells and not the slider
const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

function slider(control, id, set) {
  const digits = (`${control.step}`.split(".")[1] ?? "").length;
  const text = (value) => value.toFixed(digits).replace("-", "\u2212");
  const input = element("input", {
    type: "range", id, min: control.start, max: control.stop, step: control.step,
    "data-signal": control.signal, "aria-describedby": `${id}-ends`, ...OWN_KEYS,
  });
  const output = element("output", { for: id });
  const show = (value) => {
    if (Number(input.value) !== value) input.value = value;
    output.value = text(value);
    input.setAttribute("aria-valuetext", text(value));
  };
  input.addEventListener("input", () => set(control.signal, Number(input.value)));
  const ends = element("div", { class: "lossviz-ends", id: `${id}-ends` },
    element("span", {}, control.low), element("span", {}, control.high));
  const label = element("label", { for: id }, control.label);
  return { node: element("div", { class: "lossviz-control" }, label, output, input, ends), show };
}

function choice(control, id, set) {
  const select = element("select", { id, "data-signal": control.signal, ...OWN_KEYS });
  for (const option of control.options) select.append(element("option", { value: option }, option));
  select.addEventListener("change", () => set(control.signal, select.value));
  const label = element("label", { for: id }, control.label);
  const show = (value) => { select.value = value; };
  return { node: element("div", { class: "lossviz-control" }, label, select), show };
}

/** A part of the picture that pointer or finger can drag; the page scrolls everywhere else. */
function handle({ at, drag }, view, set, picture) {
  const node = element("div", { class: "lossviz-handle", "aria-hidden": "true" });
  const move = (event) => {
    const box = picture.getBoundingClientRect();
    set(drag, [event.clientX - box.left, event.clientY - box.top]);
  };
  node.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    node.setPointerCapture(event.pointerId);
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) move(event);
  });
  const place = ([x, y]) => { node.style.left = `${x}px`; node.style.top = `${y}px`; };
  view.addSignalListener(at, (_, position) => place(position));
  place(view.signal(at));
  picture.append(node);
}

async function draw(figure, stage, fail) {
  const picture = element("div",
    { class: "lossviz-picture", role: "img", "aria-label": figure.alt });
  const controls = element("div", { class: "lossviz-controls" });
  const readout = element("p", { class: "lossviz-readout", "aria-hidden": "true" });
  const announcement = element("p", { class: "lossviz-announcement", role: "status" });
  stage.append(picture, controls, readout, announcement);
  if (!stage.closest(".lossviz-live")) stage.append(element("p", {}, figure.caption));
  const canvas = element("div");
  picture.append(canvas);

  const logger = { ...console, error: fail, level: () => logger };
  const view = new window.lossvizVega.View(window.lossvizVega.parse(figure.spec), {
    renderer: figure.renderer, container: canvas, hover: false, logger,
  });

  let queued = null;
  const set = (signal, value) => {
    view.signal(signal, value);
    queued ??= new Promise(requestAnimationFrame)
      .then(() => { queued = null; return view.runAsync(); }).catch(fail);
  };
  let pause = 0;
  const say = (text) => {
    readout.textContent = text;
    clearTimeout(pause);  // announced when the hand rests, not at every pixel
    pause = setTimeout(() => { announcement.textContent = text; }, 600);
  };
  const width = () => Math.max(280, stage.clientWidth || figure.width);

  view.signal("container", width()).signal("dark", isDark());
  await view.runAsync();
  // random, because a notebook loads a copy of this module for every figure of one document
  const prefix = `lossviz-${Math.random().toString(36).slice(2)}`;
  for (const control of figure.controls) {
    const make = { slider, choice }[control.kind];
    const { node, show } = make(control, `${prefix}-${control.signal}`, set);
    view.addSignalListener(control.signal, (_, value) => show(value));
    show(view.signal(control.signal));
    controls.append(node);
  }
  for (const spot of figure.handles) handle(spot, view, set, picture);
  view.addSignalListener("readout", (_, text) => say(text));
  say(view.signal("readout"));

  const resizes = new ResizeObserver(() => {
    if (view.signal("container") !== width()) set("container", width());
  });
  resizes.observe(stage);
  const stopTheme = watchTheme(() => set("dark", isDark()));
  stage.lossviz = { view };
  return () => {
    clearTimeout(pause);
    resizes.disconnect();
    stopTheme();
    view.finalize();
  };
}

async function render({ model, el }) {
  if (!document.getElementById("lossviz-style")) {
    document.head.append(element("style", { id: "lossviz-style" }, STYLE));
  }
  el.classList.add("lossviz-stage");
  const fail = (error) => {
    el.dataset.lossviz = "failed";
    el.replaceChildren(element("p", { class: "lossviz-failure", role: "alert" },
      `This live figure could not be drawn (${error?.message ?? error}).`));
    return undefined;
  };
  try {
    const stop = await draw(model.get("figure"), el, fail);
    el.dataset.lossviz ??= "ready";
    return stop;
  } catch (error) {
    return fail(error);
  }
}

export default { render };
