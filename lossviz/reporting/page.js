"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { left, top: above, size, strip } = data.frame;
const up = (share) => above + size * (1 - share);

const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);

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

  function table(rule, step) {
    const [edges, ...columns] = data.live[temperature.value][rule];
    const ends = [0, ...edges, 1];
    return Array.from({ length: columns[0].length / step }, (_, b) => {
      const [rows, held, hit] = columns.map((column) =>
        sum(column.slice(b * step, (b + 1) * step), (x) => x));
      return { from: ends[b * step], to: ends[(b + 1) * step], rows, held, hit };
    });
  }

  function draw() {
    const t = data.temperatures[temperature.value];
    const cells = bins.value === "mass" ? table("mass", 1)
      : table("width", data.live[0].width[1].length / Number(bins.value));
    const total = sum(cells, (cell) => cell.rows);
    const most = Math.max(...cells.map((cell) => cell.rows));
    const error = sum(cells, (cell) => Math.abs(cell.held - cell.hit)) / total;
    const first = t === 1 && bins.value === String(data.bins);
    bands.style.display = first ? "" : "none";
    group.replaceChildren(...(first ? asDrawn : cells.flatMap(({ from, to, rows, held, hit }) => {
      if (!rows) return [];
      const x = left + from * size + 1;
      const width = Math.max((to - from) * size - 2, 0.5);
      const ends = [hit / rows, held / rows];
      const tall = (strip * rows) / most;
      const box = (name, y, height) => element("rect", { class: name, x, y, width, height });
      return [
        box("bar", up(ends[0]), size * ends[0]),
        box("gap", up(Math.max(...ends)), size * Math.abs(ends[0] - ends[1])),
        box("density", above + size + 6 + strip - tall, tall),
        ...(width < 14 ? [] : [element("text",
          { class: "count", x: x + width / 2, y: above + size - 5 }, short(rows))]),
      ];
    })));
    const mean = sum(cells, (cell) => cell.held) / total;
    temperature.setAttribute("aria-valuetext", `T = ${t.toFixed(2)}`);
    says.textContent = `T = ${t.toFixed(2)}: calibration error ${error.toFixed(4)} in ` +
      `${cells.length} bins, mean confidence ${mean.toFixed(3)}, of ` +
      `${total.toLocaleString("en")} rows`;
  }
  temperature.addEventListener("input", draw);
  bins.addEventListener("input", draw);
  draw();
}

function coverage(figure) {
  const slider = figure.querySelector("input");
  const plot = figure.querySelector("svg");
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
  function drag(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = plot.getBoundingClientRect();
    const x = (event.clientX - box.left) * plot.viewBox.baseVal.width / box.width;
    const far = share.map((one) => Math.abs(one - (x - left) / size));
    slider.value = far.indexOf(Math.min(...far));
    draw();
  }
  plot.addEventListener("pointerdown", drag);
  plot.addEventListener("pointermove", drag);
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
