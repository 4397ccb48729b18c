// What is drawn of a loss: from its functions where it has a form, else from sampled frames. Both
// kinds offer `curve`, `examples`, `plane` (values from the top left) and `slopes` at a place.

const TOLERANCE = 1e-5, LONGEST = 1 / 40, MOST_STEPS = 4000;
const MARGINS = Array.from({ length: DATA.points },
  (_, k) => DATA.margin * ((2 * k) / (DATA.points - 1) - 1));
const PROBABILITIES = Object.values(DATA.examples);

const logistic = (margin) => 1 / (1 + Math.exp(-margin));
const logit = (p) => Math.log(p / (1 - p));
const between = ([low, high], share) => low + share * (high - low);

/** A row of a curve over the margin; its weight is the pull over that of cross-entropy. */
function row(margin, value, pull) {
  return { margin, p: logistic(margin), value, pull, weight: pull / logistic(-margin) };
}

function onGrid(side, [across, up], number) {
  return Array.from({ length: side * side }, (_, k) => number([
    between(across, (k % side) / (side - 1)),
    between(up, 1 - Math.floor(k / side) / (side - 1)),
  ]));
}

function logitsOf([u, v]) {
  const [right, side] = DATA.basis;
  return [right * u, side * v - (right / 2) * u, -side * v - (right / 2) * u];
}

/** Softmax of three logits, where no small number comes from a difference of large ones. */
function softmax(logits) {
  return logits.map((own) => 1 / logits.reduce((sum, other) => sum + Math.exp(other - own), 0));
}

function formed(entry, { value, pull, plane, slopes }, values, noise) {
  const label = [1 - noise, noise / 2, noise / 2];
  const [right, side] = DATA.basis;
  const at = (margin) => {
    const p = logistic(margin);
    return row(margin, value(p, values), pull(p, values));
  };
  const spans = entry.axes.map((axis) => axis.span);
  const places = entry.over === "logits" ? logitsOf : (point) => softmax(logitsOf(point));
  return {
    curve: MARGINS.map(at),
    examples: PROBABILITIES.map(logit).map(at),
    side: DATA.side,
    plane: onGrid(DATA.side, spans, (point) => plane(places(point), label, values)),
    slopes(point) {
      const place = places(point);
      let d = slopes(place, label, values);
      if (entry.over !== "logits") {  // through the softmax
        const mean = d.reduce((sum, each, k) => sum + each * place[k], 0);
        d = d.map((each, k) => place[k] * (each - mean));
      }
      return [right * (d[0] - (d[1] + d[2]) / 2), side * (d[1] - d[2])];
    },
  };
}

/** The number at a place between those of a grid whose rows run from the lowest up. */
function interpolated(grid, side, shares) {
  const [[x, right], [y, above]] = shares.map((share) => {
    const place = Math.min(Math.max(share, 0), 1) * (side - 1);
    const whole = Math.min(Math.floor(place), side - 2);
    return [whole, place - whole];
  });
  const at = (i, j) => grid[(y + j) * side + x + i];
  return (1 - above) * ((1 - right) * at(0, 0) + right * at(1, 0))
    + above * ((1 - right) * at(0, 1) + right * at(1, 1));
}

function sampled(entry, { frames }, values) {
  const { side } = entry.sampled, count = DATA.points;
  const frame = frames[entry.parameters.reduce((index, { name, stops }) =>
    index * stops.length + stops.indexOf(values[name]), 0)];
  const spans = entry.axes.map((axis) => axis.span), margins = entry.fields === "margin";
  const span = margins ? [-DATA.margin, DATA.margin] : spans[0];
  const rows = frame.pull.map((pull, k) => {
    const x = k < count ? between(span, k / (count - 1)) : logit(PROBABILITIES[k - count]);
    return margins ? row(x, frame.value[k], pull) : { x, value: frame.value?.[k] ?? null, pull };
  });
  const upside = Array.from({ length: side },
    (_, k) => frame.plane.slice((side - 1 - k) * side, (side - k) * side));
  return {
    curve: rows.slice(0, count),
    examples: rows.slice(count),
    side,
    plane: upside.flat(),
    slopes: frame.slopes && ((point) => {
      const shares = point.map((x, k) => (x - spans[k][0]) / (spans[k][1] - spans[k][0]));
      return frame.slopes.map((grid) => interpolated(grid, side, shares));
    }),
  };
}

/** What is drawn of a loss in a state. */
function numbersOf(state, key) {
  const entry = DATA.catalogue[key], values = valuesOf(state, key);
  const made = entry.sampled ? sampled(entry, DATA.losses[key], values)
    : formed(entry, DATA.losses[key], values, state.noise);
  const spans = entry.axes.map((axis) => axis.span);
  // the same place of every plane, whatever its axes are
  const start = state.start.map((x, k) => between(spans[k], (x / DATA.extent + 1) / 2));
  return { ...made, key, entry, values, spans, start,
    path: made.slopes ? flow(made.slopes, start, spans) : [] };
}

/** The gradient flow from a place until the last time, a rest or the edge: rows {x, y, time}.
    Steps of the method of Bogacki and Shampine, none across one of the marked times. */
function flow(slopes, start, spans) {
  const downhill = (place) => slopes(place).map((slope) => -slope);
  const size = (move) => Math.max(...move.map((x, k) => Math.abs(x) / (spans[k][1] - spans[k][0])));
  const add = (place, ...terms) => place.map((x, k) =>
    terms.reduce((sum, [factor, move]) => sum + factor * move[k], x));
  const inside = (place) => place.every((x, k) => spans[k][0] <= x && x <= spans[k][1]);
  let [time, step, place, first] = [0, 0.1, start, downhill(start)];
  const path = [{ x: place[0], y: place[1], time }];
  for (let k = 0; k < MOST_STEPS; k += 1) {
    const mark = DATA.times.find((at) => at > time);
    const speed = size(first);
    if (mark === undefined || !(speed > 1e-9 && speed < Infinity) || !inside(place)) break;
    const taken = Math.min(step, mark - time, LONGEST / speed);
    const second = downhill(add(place, [taken / 2, first]));
    const third = downhill(add(place, [0.75 * taken, second]));
    const next = add(place, [(2 / 9) * taken, first], [taken / 3, second],
      [(4 / 9) * taken, third]);
    const last = downhill(next);
    const error = size(add([0, 0], [(-5 / 72) * taken, first], [taken / 12, second],
      [taken / 9, third], [-taken / 8, last]));
    if (!(error >= 0)) break;
    if (error <= TOLERANCE) {
      time = taken === mark - time ? mark : time + taken;
      [place, first] = [next, last];
      path.push({ x: place[0], y: place[1], time });
    }
    step = taken * Math.min(4, Math.max(0.2, 0.9 * (TOLERANCE / (error || 1e-300)) ** (1 / 3)));
  }
  return path;
}
