// Arithmetic of the page: pure functions on the draws, the same as offroute.inference.beliefs.
// Arrays of draws are laid out [atom][week][draw].

export const NEUTRAL = { closed_us: 1, china: 1, self_host: 0, price: 1 };

// ---- reading -------------------------------------------------------------------------------

export async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Low bytes, then high bytes, of the zigzag differences from week to week of (value - centre)/step.
export function unpack(bytes, { shape, step, centre }) {
  const [A, W, K] = shape;
  const out = new Float64Array(A * W * K);
  const n = A * W * K;
  for (let a = 0; a < A; a++) {
    const level = new Int32Array(K);
    for (let w = 0; w < W; w++) {
      const start = (a * W + w) * K;
      for (let k = 0; k < K; k++) {
        const z = bytes[start + k] + 256 * bytes[n + start + k];
        level[k] += (z >>> 1) ^ -(z & 1);
        out[start + k] = centre[a][w] + step * level[k];
      }
    }
  }
  return out;
}

export async function readPopulation(population, page) {
  const shape = [page.atoms.length, page.weeks.length, page.n_kept];
  const [D, p] = await Promise.all(
    [population.log_D, population.log_p].map(async (part) =>
      unpack(await inflate(part.data), { ...part, shape }),
    ),
  );
  return { D: D.map(Math.exp), usd: p.map((x, i) => Math.exp(x + D[i])), shape };
}

// ---- volumes -------------------------------------------------------------------------------

export function factorOf(atom, z, beliefs) {
  const closed = atom.origin === "US" && !atom.open ? beliefs.closed_us : 1;
  const china = atom.origin === "China" ? beliefs.china : 1;
  return closed * china * beliefs.price ** z;
}

// Panel volume of every class (stealth last) and draws of its total.
export function volumes(page, draws, week, beliefs, unit) {
  const [A, W, K] = draws.shape;
  const source = unit === "dollars" ? draws.usd : draws.D;
  const X = [...(unit === "dollars" ? page.X_usd : page.X)[week]];
  const Y = page.atoms.map((atom, a) => {
    const factor = factorOf(atom, page.z[week][a], beliefs);
    const host = 1 + (atom.open ? beliefs.self_host : 0);
    const start = (a * W + week) * K;
    const out = new Float64Array(K);
    for (let k = 0; k < K; k++) out[k] = host * (X[a] + source[start + k] * factor);
    return out;
  });
  const stealth = unit === "dollars" ? 0 : page.stealth[week];
  return { X: [...X, stealth], Y: [...Y, new Float64Array(K).fill(stealth)] };
}

export function add(arrays, K) {
  const out = new Float64Array(K);
  for (const array of arrays) for (let k = 0; k < K; k++) out[k] += array[k];
  return out;
}

// Classes of a partition with the atoms that they hold, by falling panel volume.
export function classesOf(atoms, by) {
  const name = (atom) =>
    by === "origin" ? atom.origin : by === "group" ? atom.group : atom.name;
  const found = new Map();
  atoms.forEach((atom, a) => found.set(name(atom), [...(found.get(name(atom)) ?? []), a]));
  found.set("Stealth", [atoms.length]);
  return [...found].map(([label, members]) => ({ label, members }));
}

// ---- summaries -----------------------------------------------------------------------------

// Linear interpolation between order statistics, as numpy.quantile.
export function quantile(sorted, p) {
  const place = p * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

export function summarise(values, level) {
  const sorted = Float64Array.from(values).sort();
  const tail = (1 - level) / 2;
  const at = (p) => quantile(sorted, Math.min(Math.max(p, 0), 1));
  // Half the distance between the quantiles one binomial standard error to either side.
  const spread = Math.sqrt(0.25 / sorted.length);
  const error = (at(0.5 + spread) - at(0.5 - spread)) / 2;
  return { low: at(tail), median: at(0.5), high: at(1 - tail), error };
}

export function shares(page, volume, by, level) {
  const K = volume.Y[0].length;
  const total = add(volume.Y, K);
  const panel = volume.X.reduce((a, b) => a + b, 0);
  return classesOf(page.atoms, by)
    .map(({ label, members }) => {
      const Y = add(members.map((a) => volume.Y[a]), K);
      const X = members.reduce((sum, a) => sum + volume.X[a], 0);
      return { label, members, naive: X / panel, ...summarise(Y.map((y, k) => y / total[k]), level) };
    })
    .filter((row) => row.high > 0)
    .sort((a, b) => b.naive - a.naive || (a.label < b.label ? -1 : 1));
}

function sides(page, volume) {
  const K = volume.Y[0].length;
  const of = (origin) =>
    page.atoms.flatMap((atom, a) => (atom.origin === origin ? [a] : []));
  const [cn, us] = [of("China"), of("US")];
  const X = (members) => members.reduce((sum, a) => sum + volume.X[a], 0);
  const Y = (members) => add(members.map((a) => volume.Y[a]), K);
  return { xChina: X(cn), xUs: X(us), china: Y(cn), us: Y(us) };
}

export function contest(page, volume, level) {
  const { xChina, xUs, china, us } = sides(page, volume);
  const ratio = china.map((y, k) => y / us[k]);
  const observed = xChina / xUs;
  const p = ratio.reduce((n, r) => n + (r > 1), 0) / ratio.length;
  return {
    observed,
    ratio: summarise(ratio, level),
    undersampling: summarise(ratio.map((r) => observed / r), level),
    breakEven: summarise(us.map((y) => xChina / y), level),
    p,
    pError: Math.sqrt((p * (1 - p)) / ratio.length),
  };
}

export function series(page, draws, beliefs, unit, level) {
  return page.weeks.map((_, week) => {
    const { xChina, xUs, china, us } = sides(page, volumes(page, draws, week, beliefs, unit));
    return { observed: xChina / xUs, ...summarise(china.map((y, k) => y / us[k]), level) };
  });
}

export function panelSeries(page, unit) {
  const X = unit === "dollars" ? page.X_usd : page.X;
  const sum = (row, origin) =>
    row.reduce((total, x, a) => total + (page.atoms[a].origin === origin ? x : 0), 0);
  return X.map((row) => ({ observed: sum(row, "China") / sum(row, "US") }));
}

// Setting of one belief at which the median ratio is one, the others as they are, and whether China
// leads above it; null if no setting changes the lead.
export function flipAt(page, draws, week, beliefs, unit, belief, range) {
  const side = (value) => {
    const volume = volumes(page, draws, week, { ...beliefs, [belief]: value }, unit);
    const { china, us } = sides(page, volume);
    return Math.log(summarise(china.map((y, k) => y / us[k]), 0.5).median);
  };
  let [low, high] = range;
  const [atLow, atHigh] = [side(low), side(high)];
  if (atLow * atHigh > 0) return null;
  const middle = () => (low > 0 ? Math.sqrt(low * high) : (low + high) / 2);
  for (let i = 0; i < 40; i++) {
    if (side(middle()) * atLow > 0) low = middle();
    else high = middle();
  }
  return { at: middle(), above: atHigh > 0 };
}

// ---- words ---------------------------------------------------------------------------------

const MONTHS = [
  "January", "February", "March", "April", "May", "June", "July", "August", "September",
  "October", "November", "December",
];

export function dateWords(iso) {
  const [year, month, day] = iso.split("-").map(Number);
  return `${day} ${MONTHS[month - 1]} ${year}`;
}

export function digits(x, at) {
  if (x === 0) return "0";
  if (Number(x.toFixed(1)) >= at) return x.toFixed(0);
  if (Number(x.toFixed(2)) >= at / 10) return x.toFixed(1);
  return x.toPrecision(1).includes("e") ? x.toExponential(0) : String(Number(x.toPrecision(1)));
}

export const percent = (x) => `${digits(100 * x, 10)}\u00a0%`;

export const percentInterval = ({ low, high }) =>
  `[${digits(100 * low, 10)}, ${digits(100 * high, 10)}]`;

export const times = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));

export const timesInterval = ({ low, high }) => `[${times(low)}, ${times(high)}]`;

// The draws are finite: no probability is printed as zero or one.
export const probability = (p) =>
  p < 0.01 ? "under 1\u00a0%" : p > 0.99 ? "over 99\u00a0%" : `${(100 * p).toFixed(0)}\u00a0%`;

export function verdict(p) {
  if (p > 0.95) return "China leads";
  if (p < 0.05) return "The United States leads";
  return "The evidence does not decide who leads";
}

// ---- scales --------------------------------------------------------------------------------

export function logScale([low, high], [from, to]) {
  const [a, b] = [Math.log(low), Math.log(high)];
  return (x) => from + ((Math.log(x) - a) / (b - a)) * (to - from);
}

export function ticks([low, high]) {
  const out = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
    for (const m of [1, 2, 5]) {
      const x = Number(`${m}e${e}`);
      if (x >= low && x <= high) out.push(x);
    }
  return out.length > 7 ? out.filter((x) => String(x).replace(/[0.]/g, "") === "1") : out;
}

// A path that is broken where `gap` says so.
export function line(points, gap) {
  return points
    .map(([x, y], i) => `${i === 0 || gap(i) ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`)
    .join("");
}
