// Draws one live figure: a Vega picture with native controls. Host-neutral: `model` needs only
// get("figure"), so the same text serves JupyterLab (through anywidget) and a static page.

const STYLE = `
.lossviz-stage { color: inherit; max-width: 100%; }
.lossviz-picture { position: relative; line-height: 0; overflow: hidden; }
.lossviz-controls { display: grid; gap: .5rem 1.5rem; margin: .25rem 0 .5rem; hyphens: none;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); }
.lossviz-control { display: grid; grid-template-columns: 1fr auto auto; column-gap: .5rem;
  font-size: .9rem; line-height: 1.35; align-content: start; }
.lossviz-control input { grid-column: 1 / -1; width: 100%; min-height: 1.75rem; margin: 0;
  accent-color: #0072b2; }
.lossviz-control output { font-variant-numeric: tabular-nums; }
.lossviz-control select { font: inherit; min-height: 1.75rem; }
.lossviz-ends { grid-column: 1 / -1; display: flex; justify-content: space-between; gap: 1rem;
  font-size: .78rem; opacity: .8; }
.lossviz-ends span:last-child { text-align: right; }
.lossviz-stage button { font: inherit; font-size: .8rem; line-height: 1; color: inherit;
  background: none; border: 1px solid; border-radius: 4px; padding: .3rem .6rem; cursor: pointer; }
.lossviz-stage button[aria-pressed=true] { background: #0072b2; border-color: #0072b2;
  color: #fff; }
.lossviz-stage .lossviz-reset { margin: .5rem 0; }
.lossviz-panes { display: flex; gap: .5rem; margin-bottom: .5rem; }
.lossviz-panes[hidden] { display: none; }
.lossviz-folded summary { font-size: .85rem; cursor: pointer; margin: .25rem 0; }
.lossviz-handle { position: absolute; width: 36px; height: 36px; margin: -18px 0 0 -18px;
  border-radius: 50%; cursor: grab; touch-action: none; }
.lossviz-handle::after { content: ""; position: absolute; inset: 5px; border: 2px dashed;
  border-radius: 50%; }
.lossviz-handle:active { cursor: grabbing; }
.lossviz-handle:is(:hover, :active)::after { border-style: solid; }
.lossviz-area { margin: 0; border-radius: 0; touch-action: pan-y; }
.lossviz-area::after { content: none; }
.lossviz-readout { font-size: .9rem; line-height: 1.4; min-height: 2.8em; margin: .25rem 0;
  font-variant-numeric: tabular-nums; }
.lossviz-announcement { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); margin: 0; }
.lossviz-failure { border: 1px solid; border-radius: 4px; padding: .5rem .75rem; }
.lossviz-live { margin: 1rem 0; }
.lossviz-live > .lossviz-still { max-width: 100%; height: auto; background: #fff; }
.lossviz-live:has(> [data-lossviz="ready"]) > .lossviz-still { display: none; }
@media (prefers-reduced-motion: reduce) {
  .lossviz-stage .lossviz-play { display: none; }
}
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

function slider(control, id, set, view) {
  const input = element("input", {
    type: "range", id, min: control.start, max: control.stop, step: control.step,
    "data-signal": control.signal, "aria-describedby": `${id}-ends`,
  });
  // one voice is enough: the slider itself says its value
  const output = element("output", { for: id, "aria-live": "off" });
  const show = (value) => { if (Number(input.value) !== value) input.value = value; };
  const say = (text) => {
    output.value = text;
    input.setAttribute("aria-valuetext", text);
  };
  view.addSignalListener(`${control.signal}_text`, (_, text) => say(text));
  say(view.signal(`${control.signal}_text`));
  input.addEventListener("input", () => set(control.signal, Number(input.value)));
  const ends = element("div", { class: "lossviz-ends", id: `${id}-ends` },
    element("span", {}, control.low), element("span", {}, control.high));
  const label = element("label", { for: id }, control.label);
  const node = element("div", { class: "lossviz-control" }, label, output);
  const player = control.plays ? play(control, input, set, view) : null;
  node.append(...(player ? [player.button] : []), input, ends);
  return { node, show, stop: player?.stop };
}

const SECONDS = 6;  // that a walk from end to end takes

/** A button that walks a slider to its end; a reader who wants no motion sees none. */
function play(control, input, set, view) {
  const button = element("button", { type: "button", class: "lossviz-play" });
  const last = Math.round((control.stop - control.start) / control.step);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const walk = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(step, Math.max(60, 1000 * SECONDS / last)) : 0;
    button.textContent = on ? "\u275a\u275a" : "\u25b6";
    button.setAttribute("aria-label", `${on ? "Pause" : "Play"}: ${control.label}`);
  };
  const at = () => Math.round((view.signal(control.signal) - control.start) / control.step);
  const put = (place) =>
    set(control.signal, Number((control.start + place * control.step).toFixed(10)));
  function step() {
    if (still.matches || at() >= last) walk(false);
    else put(at() + 1);
  }
  const stop = () => walk(false);
  button.addEventListener("click", () => {
    if (!timer && at() >= last) put(0);
    walk(!timer);
  });
  input.addEventListener("input", stop);
  stop();
  return { button, stop };
}

function choice(control, id, set) {
  const select = element("select", { id, "data-signal": control.signal });
  for (const option of control.options) select.append(element("option", { value: option }, option));
  select.addEventListener("change", () => set(control.signal, select.value));
  const label = element("label", { for: id }, control.label);
  const show = (value) => { select.value = value; };
  return { node: element("div", { class: "lossviz-control" }, label, select), show };
}

/** A part of the picture that pointer or finger can drag; the page scrolls everywhere else. */
function handle({ at, drag, area }, view, set, picture) {
  const node = element("div",
    { class: "lossviz-handle", "aria-hidden": "true", title: "drag" });
  if (area) node.classList.add("lossviz-area");
  const pointer = (event) => {
    const box = picture.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  let held = [0, 0];  // from the pointer to the place that it moves
  node.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    node.setPointerCapture(event.pointerId);
    const from = pointer(event);
    if (area) held = view.signal(at).map((pixels, axis) => pixels - from[axis]);
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) {
      set(drag, pointer(event).map((pixels, axis) => pixels + held[axis]));
    }
  });
  const place = (position) => {
    node.hidden = !position;
    ["left", "top", "width", "height"].forEach((side, number) => {
      if (number in (position ?? [])) node.style[side] = `${position[number]}px`;
    });
  };
  view.addSignalListener(area || at, (_, position) => place(position));
  place(view.signal(area || at));
  picture.append(node);
}

/** Buttons for the panels, one of which a narrow screen shows at a time. */
function panes(names, view, set) {
  const group = element("div", { class: "lossviz-panes", role: "group", "aria-label": "panel" });
  names.forEach((name, number) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => set("pane", number));
    group.append(button);
  });
  const show = (pane) => [...group.children].forEach((button, number) =>
    button.setAttribute("aria-pressed", number === pane));
  view.addSignalListener("pane", (_, pane) => show(pane));
  show(view.signal("pane"));
  return group;
}

async function draw(figure, stage, fail) {
  const picture = element("div",
    { class: "lossviz-picture", role: "img", "aria-label": figure.alt });
  const controls = element("div", { class: "lossviz-controls" });
  const folded = element("div", { class: "lossviz-controls" });
  const readout = element("p", { class: "lossviz-readout", "aria-hidden": "true" });
  const announcement = element("p", { class: "lossviz-announcement", role: "status" });
  const reset = element("button", { type: "button", class: "lossviz-reset" }, "Reset");
  stage.append(picture, readout, announcement, controls);
  const canvas = element("div", { "aria-hidden": "true" });  // the text of the picture is its own
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
    picture.setAttribute("aria-label", `At first: ${figure.alt} Now: ${text}`);
  };
  const whileWide = (change) => {
    view.addSignalListener("wide", (_, wide) => change(wide));
    change(view.signal("wide"));
  };
  const width = () => Math.max(280, stage.clientWidth || figure.width);

  view.signal("container", width()).signal("dark", isDark());
  await view.runAsync();
  // random, because a notebook loads a copy of this module for every figure of one document
  const prefix = `lossviz-${Math.random().toString(36).slice(2)}`;
  const byHand = new Set(figure.handles.flatMap((spot) => spot.moves));
  const players = [];
  for (const control of figure.controls) {
    const make = { slider, choice }[control.kind];
    const { node, show, stop } = make(control, `${prefix}-${control.signal}`, set, view);
    view.addSignalListener(control.signal, (_, value) => show(value));
    show(view.signal(control.signal));
    (byHand.has(control.signal) ? folded : controls).append(node);
    if (stop) players.push(stop);
  }
  if (folded.children.length) {
    const details = element("details", { class: "lossviz-folded" },
      element("summary", {}, "Move the point by keyboard"), folded);
    whileWide((wide) => { details.open = wide; });
    stage.append(details);
  }
  if (figure.panes.length) {
    const group = panes(figure.panes, view, set);
    whileWide((wide) => { group.hidden = wide; });
    stage.prepend(group);
  }
  reset.addEventListener("click", () => {
    players.forEach((stop) => stop());
    for (const control of figure.controls) set(control.signal, control.value);
  });
  if (figure.controls.length) stage.append(reset);
  if (!stage.closest(".lossviz-live")) stage.append(element("p", {}, figure.caption));
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
    players.forEach((stop) => stop());
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
  // JupyterLab reads this of what has the focus: else the arrow keys move between its cells
  el.addEventListener("focusin", ({ target }) => { target.dataset.lmSuppressShortcuts = "true"; });
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
