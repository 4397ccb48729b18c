// The Python lines that compute what a state shows.

const TAKES = (values) => Object.entries(values).map(([name, value]) => `${name}=${value}`);
const DICT = (values) =>
  `{${Object.entries(values).map(([name, value]) => `"${name}": ${value}`).join(", ")}}`;

function python(state) {
  const all = state.losses.map((key) => ({ key, values: valuesOf(state, key),
    ...DATA.catalogue[key] }));
  const margins = all.filter(({ fields }) => fields === "margin");
  const formed = margins.filter(({ sampled: over }) => !over);
  const planes = all.filter(({ sampled: over }) => over);
  const others = all.filter(({ fields }) => fields !== "margin");
  const lines = ["import math", "", "import torch", ""];
  if (formed.length) {
    lines.push(`from lossviz.losses import ${formed.map(({ key }) => key).sort().join(", ")}`);
  }
  if (planes.length) lines.push("from lossviz.losses import get");
  lines.push("from lossviz.widgets import landscape");
  if (planes.length) lines.push("from lossviz.widgets.loss.axes import plane");
  if (margins.length > formed.length) lines.push("from lossviz.widgets.loss.plane import BASIS");
  lines.push("", "curves = {}");
  if (margins.length) lines.push(...overMargins(margins));
  for (const each of others) lines.push(...overAnAxis(each));
  lines.push("", "# each shows itself as the last line of a notebook's cell", "landscapes = [",
    ...all.map((each) => `    ${landscapeOf(each, state)},`), "]");
  return `${lines.join("\n")}\n`;
}

function overMargins(losses) {
  const calls = losses.map(({ key, values, sampled: over }) => (over
    ? `    "${key}": lambda z, y: plane(get("${key}")).numbers(*(z @ BASIS.T).T, `
      + `${DICT({ ...over.defaults, ...values })}),`
    : `    "${key}": lambda z, y: ${key}(`
      + `${["z, y", ...TAKES(values), 'reduction="none"'].join(", ")}),`));
  return [
    "losses = {", ...calls, "}",
    `margin = torch.linspace(${-DATA.margin}, ${DATA.margin}, ${DATA.points}, dtype=torch.float64)`,
    `examples = torch.tensor([${PROBABILITIES.join(", ")}], dtype=torch.float64).logit()`,
    "margin = torch.cat([margin, examples]).requires_grad_()",
    "# three classes: the other two share what the label leaves, and the logits sum to zero",
    "shape = torch.tensor([2, -1, -1], dtype=torch.float64) / 3",
    "logits = (margin + math.log(2))[:, None] * shape",
    "target = torch.zeros(len(margin), dtype=torch.long)",
    "for name, loss in losses.items():",
    "    value = loss(logits, target)",
    "    (slope,) = torch.autograd.grad(value.sum(), margin, retain_graph=True)",
    '    weight = -slope / torch.sigmoid(-margin.detach())  # beside the pull of cross-entropy',
    '    curves[name] = {"value": value.detach(), "pull": -slope, "weight": weight}',
  ];
}

function overAnAxis({ key, values, fields, axes: [axis], sampled: over }) {
  return [
    `x = torch.linspace(${axis.span.join(", ")}, ${DATA.points}, dtype=torch.float64)`,
    "x.requires_grad_()",
    `y = torch.full_like(x, ${over.cut})`,
    `value = plane(get("${key}")).numbers(x, y, ${DICT({ ...over.defaults, ...values })})`,
    ...(fields === "pull" ? [`curves["${key}"] = {"pull": value.detach()}`] : [
      "(slope,) = torch.autograd.grad(value.sum(), x)",
      `curves["${key}"] = {"value": value.detach(), "pull": -slope}`,
    ]),
  ];
}

function landscapeOf({ key, values, sampled: over }, state) {
  // a number that an argument takes is no parameter, and the figure has a slider for it
  const named = Object.entries(values)
    .filter(([name]) => !over || Object.hasOwn(over.defaults, name));
  const given = named.length ? [`values=${DICT(Object.fromEntries(named))}`] : [];
  if (!over) {
    given.push(`point=(${state.start.join(", ")})`);
    if (state.noise) given.push(`label_noise=${state.noise}`);
  }
  return `landscape("${key}"${given.map((text) => `, ${text}`).join("")})`;
}
