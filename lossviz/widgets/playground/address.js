// The state and its address, such as
// #losses=focal,mae&focal.gamma=2&start=-2.5,2.5&noise=0.2&against=margin

const DATA = window.lossvizPlayground;
const MOST = 3, AGAINST = ["margin", "probability"];

function initial() {
  return { losses: [...DATA.first], settings: {}, start: [...DATA.start], noise: 0,
    against: AGAINST[0] };
}

/** The values of a loss's parameters: those chosen, else the defaults. */
function valuesOf(state, key) {
  const defaults = DATA.catalogue[key].parameters.map(({ name, default: at }) => [name, at]);
  return { ...Object.fromEntries(defaults), ...state.settings[key] };
}

function numberFrom(text) {
  const number = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(number)) throw new Error("is not a number");
  return number;
}

function within(number, low, high) {
  if (!(low <= number && number <= high)) throw new Error(`must lie in [${low}, ${high}]`);
  return number;
}

/** A parameter's value, checked; of a loss known only at some stops, the nearest of them. */
function checked(parameter, text, drop) {
  const { low, high, low_open: lowOpen, high_open: highOpen, interval, stops } = parameter;
  const value = numberFrom(text);
  const above = low === null || value > low || (value === low && !lowOpen);
  const below = high === null || value < high || (value === high && !highOpen);
  if (!above || !below) throw new Error(`must lie in ${interval}`);
  if (!stops) return value;
  const nearest = stops.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a));
  if (Math.abs(nearest - value) > 1e-9) {
    drop(`was moved from ${value} to ${nearest}, the nearest value that was computed`);
  }
  return nearest;
}

const READERS = {
  losses(text, state, drop) {
    const found = [];
    for (const key of text.split(",").map((word) => word.trim()).filter(Boolean)) {
      if (!Object.hasOwn(DATA.catalogue, key)) drop(`names ${key}, which is not among the losses`);
      else if (found.includes(key)) drop(`names ${key} twice`);
      else if (found.length === MOST) drop(`names more than ${MOST}: ${key} is left out`);
      else found.push(key);
    }
    if (found.length) state.losses = found;
    else drop("has none that can be shown, so these are the first ones");
  },
  start(text, state) {
    const place = text.split(",").map(numberFrom);
    if (place.length !== 2) throw new Error("must be two numbers");
    state.start = place.map((number) => within(number, -DATA.extent, DATA.extent));
  },
  noise(text, state) { state.noise = within(numberFrom(text), 0, DATA.noise); },
  against(text, state) {
    if (!AGAINST.includes(text)) throw new Error(`must be ${AGAINST.join(" or ")}`);
    state.against = text;
  },
};

function setting(name, text, state, drop) {
  const [key, ...rest] = name.split(".");
  if (!rest.length || !Object.hasOwn(DATA.catalogue, key)) throw new Error("is not known here");
  if (!state.losses.includes(key)) throw new Error("belongs to a loss that is not shown");
  const parameter = DATA.catalogue[key].parameters.find((one) => one.name === rest.join("."));
  if (!parameter) throw new Error("is not a parameter that can be set here");
  const value = checked(parameter, text, drop);
  state.settings[key] = { ...state.settings[key], [parameter.name]: value };
}

/** Whether a fragment leads to a heading of the page, and says nothing about losses. */
function isPlace(fragment) { return document.getElementById(fragment.slice(1)) !== null; }

/** The state that a fragment asks for, as far as it can be had, and what of it was dropped. */
function read(fragment) {
  const state = initial(), dropped = [];
  if (!fragment || isPlace(fragment)) return { state, dropped };
  // the losses first: whose parameters can be set depends on them
  const entries = [...new URLSearchParams(fragment.replace(/^#/, ""))];
  for (const [name, text] of entries.sort(([a], [b]) => (b === "losses") - (a === "losses"))) {
    const drop = (why) => dropped.push(`${name} ${why}`);
    try {
      if (Object.hasOwn(READERS, name)) READERS[name](text, state, drop);
      else setting(name, text, state, drop);
    } catch (error) {
      dropped.push(`${name} = ${text || "nothing"} ${error.message}`);
    }
  }
  return { state, dropped };
}

/** The fragment of a state; what is as at first is left out, but for the losses. */
function written(state) {
  const parts = [`losses=${state.losses.join(",")}`], first = initial();
  for (const key of state.losses) {
    for (const { name, default: usual } of DATA.catalogue[key].parameters) {
      const value = valuesOf(state, key)[name];
      if (value !== usual) parts.push(`${key}.${name}=${value}`);
    }
  }
  if (`${state.start}` !== `${first.start}`) parts.push(`start=${state.start}`);
  if (state.noise !== first.noise) parts.push(`noise=${state.noise}`);
  if (state.against !== first.against) parts.push(`against=${state.against}`);
  return `#${parts.join("&")}`;
}
