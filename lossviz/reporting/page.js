"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { left, top: above, size, strip } = data.frame;
const up = (share) => above + size * (1 - share);

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  return made;
}

function short(count) {
  const power = Math.min(3, Math.floor(Math.log10(Math.max(count, 1)) / 3));
  return Number((count / 1000 ** power).toPrecision(3)).toString().slice(0, 4) +
    ["", "k", "M", "G"][power];
}

function reliability(figure) {
  const temperature = figure.querySelector("[name=temperature]");
  const bins = figure.querySelector("[name=bins]");
  const group = figure.querySelector("g.bins");
  const bands = figure.querySelector("g.bands");
  const says = figure.querySelector("output");
  const asDrawn = [...group.childNodes];

  function draw() {
    const t = data.temperatures[temperature.value];
    const [rows, confidence, correct] = data.live[temperature.value];
    const count = Number(bins.value);
    const step = rows.length / count;
    const sums = Array.from({ length: count }, (_, b) => [rows, confidence, correct].map((column) =>
      column.slice(b * step, (b + 1) * step).reduce((sum, x) => sum + x, 0)));
    const most = Math.max(...sums.map((s) => s[0]));
    const total = sums.reduce((sum, s) => sum + s[0], 0);
    const error = sums.reduce((sum, s) => sum + Math.abs(s[1] - s[2]), 0) / total;
    const first = t === 1 && count === data.bins;
    bands.style.display = first ? "" : "none";
    group.replaceChildren(...(first ? asDrawn : sums.flatMap(([n, held, hit], b) => {
      if (!n) return [];
      const width = size / count;
      const x = left + b * width + 1;
      const ends = [hit / n, held / n];
      const tall = (strip * n) / most;
      const box = (name, y, height) =>
        element("rect", { class: name, x, y, width: Math.max(width - 2, 1), height });
      return [
        box("bar", up(hit / n), (size * hit) / n),
        box("gap", up(Math.max(...ends)), size * Math.abs(ends[0] - ends[1])),
        box("density", above + size + 6 + strip - tall, tall),
        ...(count > 20 ? [] : [element("text",
          { class: "count", x: x + width / 2 - 1, y: above + size - 5 }, short(n))]),
      ];
    })));
    const mean = sums.reduce((sum, s) => sum + s[1], 0) / total;
    temperature.setAttribute("aria-valuetext", `T = ${t.toFixed(2)}`);
    says.textContent = `T = ${t.toFixed(2)}: calibration error ${error.toFixed(4)} in ${count} ` +
      `bins, mean confidence ${mean.toFixed(3)}, of ${total.toLocaleString("en")} rows`;
  }
  temperature.addEventListener("input", draw);
  bins.addEventListener("input", draw);
  draw();
}

function coverage(figure) {
  const slider = figure.querySelector("input");
  const point = figure.querySelector(".point");
  const drop = figure.querySelector(".drop");
  const says = figure.querySelector("output");
  const { coverage: share, risk, confidence } = data.curve;
  const most = data.most;

  function draw() {
    const at = Number(slider.value);
    const x = left + size * share[at];
    const y = up(risk[at] / most);
    point.setAttribute("cx", x);
    point.setAttribute("cy", y);
    drop.setAttribute("d", `M${x} ${above + size}V${y}H${left}`);
    says.textContent = `Answer where the confidence is at least ${confidence[at].toFixed(4)}: ` +
      `${(100 * share[at]).toFixed(1)} % of the rows, ${(100 * risk[at]).toFixed(2)} % of them wrong`;
    slider.setAttribute("aria-valuetext", says.textContent);
  }
  slider.addEventListener("input", draw);
  draw();
}

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value;
  const compare = (a, b, column) => column
    ? value(a, column) - value(b, column)
    : a.cells[0].textContent.localeCompare(b.cells[0].textContent, "en", { numeric: true });
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const rows = [...body.rows].sort((a, b) => sign * compare(a, b, column));
    body.replaceChildren(...rows);
  }));
}

reliability(document.getElementById("reliability"));
coverage(document.getElementById("coverage"));
document.querySelectorAll("table.sortable").forEach(sortable);
