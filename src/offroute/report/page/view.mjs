// What the page shows and how it reacts; all arithmetic is in model.mjs.
import { el, seriesChart, tippingChart } from "./charts.mjs";
import {
  NEUTRAL, contest, dateWords, flipAt, panelSeries, percent, percentInterval, probability,
  readPopulation, series, shares, times, timesInterval, verdict, volumes,
} from "./model.mjs";

const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("data").textContent);
const state = {
  population: page.populations.findIndex((p) => p.name === page.shown.population),
  week: page.shown.week,
  unit: "tokens",
  by: "group",
  beliefs: { ...NEUTRAL },
};
const decoded = new Map();
const remembered = new Map();
const LEVEL = percent(page.level);

const SLIDERS = [
  {
    key: "closed_us", title: "Use of closed US models elsewhere", range: [1 / 8, 8],
    text: "Contracts with the labs and their clouds that never touch OpenRouter. ×2 means twice as much as the model says.",
  },
  {
    key: "china", title: "Use of Chinese models elsewhere", range: [1 / 8, 8],
    text: "The Chinese denominator: clouds and APIs of which few figures are public.",
  },
  {
    key: "self_host", title: "Open models run on one’s own machines", range: [0, 3],
    text: "Tokens run by users themselves, for each token of open models served by an API. The model counts none.",
  },
  {
    key: "price", title: "How much price decides who is missed", range: [1 / 8, 8],
    text: "×2: next to what the model says, a model ten times as dear as OpenRouter’s average is used twice as much elsewhere, one ten times as cheap half as much.",
  },
];

const COLOURS = {
  "US closed": "--us-closed", "US open": "--us-open", "China open": "--china-open",
  "China closed": "--china-closed", "Rest of world": "--rest", Stealth: "--stealth",
  US: "--us-closed", China: "--china-open",
};
const NAMES = {
  US: "United States", "US closed": "US, closed", "US open": "US, open", "China open": "China, open",
  "China closed": "China, closed", "Other US closed": "Other US, closed",
  "Other China open": "Other Chinese, open", "Other China closed": "Other Chinese, closed",
};

const num = (words, info) =>
  el("button", { type: "button", class: "num", onclick: () => openSources(info),
    "aria-label": `${words}, show sources` }, words);

// ---- state ---------------------------------------------------------------------------------

const population = () => page.populations[state.population];
const moved = () => Object.keys(NEUTRAL).some((k) => state.beliefs[k] !== NEUTRAL[k]);

function neutral() {
  const key = [state.population, state.week, state.unit].join();
  if (!remembered.has(key))
    remembered.set(key, contest(page, at(NEUTRAL), page.level));
  return remembered.get(key);
}
function neutralSeries() {
  const key = `series ${state.population} ${state.unit}`;
  if (!remembered.has(key))
    remembered.set(key, series(page, draws(), NEUTRAL, state.unit, page.level));
  return remembered.get(key);
}
const draws = () => decoded.get(state.population);
const at = (beliefs) => volumes(page, draws(), state.week, beliefs, state.unit);

// ---- sources -------------------------------------------------------------------------------

function openSources({ title, lines, atoms, panel, rows }) {
  byId("sources-title").textContent = title;
  const body = byId("sources-body");
  body.replaceChildren(...lines.map((line) => el("p", {}, line)));
  if (panel) body.append(el("p", {}, `Counted by OpenRouter. ${page.citation}. Licence: ${page.licence}. What is unusual about the week: ${page.notes[state.week].join(" ")}`));
  if (atoms) body.append(...sourcesOf(atoms));
  if (rows) body.append(el("ol", {}, ...rows.map(sourceItem)));
  byId("sources").showModal();
}

function sourceItem(id) {
  const row = page.ledger[id];
  const limit = { floor: "more than ", ceiling: "less than " }[row.side] ?? "";
  return el("li", {}, el("strong", {}, `${row.of}: ${limit}${row.figure}`), ` ${row.what}`,
    el("small", {}, `ledger row ${id}, about ${row.day}, grade ${row.grade}${row.family ? `, family ${row.family}` : ""}. `,
      row.url ? el("a", { href: row.url, rel: "noopener noreferrer", target: "_blank" }, row.title) : row.title));
}

function sourcesOf(atoms) {
  const ids = population().rows.filter(([, of]) => of.some((a) => atoms.includes(a))).map(([id]) => id);
  if (!ids.length)
    return [el("p", {}, "No public figure speaks of it in this population. Its level comes from labs like it and from the prior: that is why the interval is wide.")];
  ids.sort((a, b) => (page.ledger[a].day < page.ledger[b].day ? 1 : -1));
  return [
    el("p", {}, `From OpenRouter’s counts and ${ids.length} public figure${ids.length > 1 ? "s" : ""}, latest first. All figures inform each other through the model; the command “offroute ledger” with a row’s name prints how the row is read.`),
    el("ol", {}, ...ids.map(sourceItem)),
  ];
}

const sideAtoms = (...origins) =>
  page.atoms.flatMap((atom, a) => (origins.includes(atom.origin) ? [a] : []));
const precision = (summary, words) =>
  `Middle of ${page.n_kept} draws; error of it from their number: ± ${words(summary.error)}.`;
const points = (x) => `${(100 * x).toFixed(1)} points`;
const setting = () =>
  moved() ? "Computed with the sliders as you set them; it is not the model’s answer." : `The model’s answer, ${page.prior} prior.`;

// ---- answer --------------------------------------------------------------------------------

const what = () => (state.unit === "tokens" ? "tokens" : "dollars");

function drawAnswer(now, rows) {
  const china = rows.find((row) => row.label === "China");
  const naive = num(percent(china.naive), { title: "China’s share on OpenRouter", lines: [`${percent(china.naive)} of ${what()} in the week of ${dateWords(page.weeks[state.week])}.`], panel: true });
  const info = {
    title: `China’s share, corrected. ${population().title}`, atoms: sideAtoms("China", "US", "Rest of world"),
    lines: [`${percent(china.median)}, ${LEVEL} interval ${percentInterval(china)}.`, setting(), precision(china, points)],
  };
  byId("sentence").replaceChildren(
    `In the week of ${dateWords(page.weeks[state.week])}, Chinese models got `, naive,
    ` of the ${what()} on OpenRouter. ${population().among} ${moved() ? "on your settings" : "probably"} `,
    num(percent(china.median), info), ` (${LEVEL} interval ${percentInterval(china)}).`);
  byId("verdict").textContent = `${verdict(now.p)}: the probability that Chinese models get more ${what()} than US models is ${probability(now.p)}.`;
  const base = neutral();
  const was = (words) => (moved() ? el("span", { class: "naive" }, `the model’s answer: ${words}`) : "");
  byId("figures").replaceChildren(
    figure(`Chinese ${what()} per US ${what().slice(0, -1)}`, num(times(now.ratio.median), {
      title: `${what()[0].toUpperCase()}${what().slice(1)} to Chinese models for each to US models`, atoms: sideAtoms("China", "US"),
      lines: [`${times(now.ratio.median)}, ${LEVEL} interval ${timesInterval(now.ratio)}.`, setting(), precision(now.ratio, times)],
    }), `${LEVEL} interval ${timesInterval(now.ratio)}`, `on OpenRouter ${times(now.observed)}`, was(`${times(base.ratio.median)} ${timesInterval(base.ratio)}`)),
    figure("Probability that China leads", num(probability(now.p), {
      title: "Probability that China leads", atoms: sideAtoms("China", "US"),
      lines: [`China’s volume is the larger one in ${Math.round(now.p * page.n_kept)} of ${page.n_kept} draws.`, setting(), `Error from the number of draws: at most ± ${(100 * now.pError).toFixed(1)} points.`],
    }), `± ${(100 * now.pError).toFixed(0)} points from the number of draws`, "", was(probability(base.p))),
    figure("How many times less OpenRouter sees of US use than of Chinese use", num(times(now.undersampling.median), {
      title: "Under-sampling of the US against China", atoms: sideAtoms("China", "US"),
      lines: [`${times(now.undersampling.median)}, ${LEVEL} interval ${timesInterval(now.undersampling)}. Above ${times(now.observed)} the US leads.`, setting(), precision(now.undersampling, times)],
    }), `${LEVEL} interval ${timesInterval(now.undersampling)}`, `the lead flips at ${times(now.observed)}`, was(`${times(base.undersampling.median)} ${timesInterval(base.undersampling)}`)),
  );
  const stale = population().stale[state.week];
  byId("notes").textContent = [
    stale > 4 ? `Extrapolation: the last disclosure about this population is ${stale} weeks older than this week.` : "",
    ...page.notes[state.week].slice(1),
  ].filter(Boolean).join(" ");
  byId("now").textContent = `China ${percent(china.median)} ${percentInterval(china)}; leads with probability ${probability(now.p)}.`;
  byId("tipping-words").replaceChildren(
    `China leads only if OpenRouter misses US use less than ${times(now.observed)} times as badly as Chinese use. The estimate is `,
    el("strong", {}, `${times(now.undersampling.median)} times ${timesInterval(now.undersampling)}`),
    `. Put otherwise: China leads if OpenRouter sees less than ${percent(now.breakEven.median)} ${percentInterval(now.breakEven)} of the use of Chinese models.`);
}

function figure(name, value, range, naive, was) {
  return el("div", { class: "figure" }, el("span", { class: "name" }, name), el("span", { class: "value" }, value),
    el("span", { class: "range" }, range), naive ? el("span", { class: "naive" }, naive) : "", was);
}

// ---- bars ----------------------------------------------------------------------------------

function colourOf(row) {
  const groups = new Set(row.members.map((a) => page.atoms[a]?.group));
  const [first] = groups;
  // A lab with open and closed models has the colour of its origin.
  const name = COLOURS[row.label] ? row.label : groups.size > 1 ? first.split(" ")[0] : first;
  return `var(${COLOURS[name]})`;
}

function drawBars(rows, estimated) {
  const most = Math.max(...rows.map((r) => Math.max(r.naive, estimated ? r.high : 0)));
  const width = (x) => `${(100 * x) / most}%`;
  byId("bars").replaceChildren(...rows.map((row) => {
    const name = NAMES[row.label] ?? row.label;
    const naive = el("div", { class: "lane naive" },
      el("div", { class: "space" }, el("div", { class: "fill", style: { width: width(row.naive) } })),
      num(percent(row.naive), { title: `${name} on OpenRouter`, lines: [`${percent(row.naive)} of ${what()}.`], panel: true }));
    const stealth = row.label === "Stealth";
    const info = {
      title: `${name}: corrected share`, atoms: stealth ? null : row.members, panel: stealth,
      lines: [`${percent(row.median)}, ${LEVEL} interval ${percentInterval(row)}.`, setting(), precision(row, points)],
    };
    const corrected = estimated && el("div", { class: "lane" },
      el("div", { class: "space" },
        el("div", { class: "fill", style: { width: width(row.median), background: colourOf(row) } }),
        el("div", { class: "reach", style: { left: width(row.low), width: width(row.high - row.low) } })),
      el("span", {}, el("strong", {}, num(percent(row.median), info)), ` ${percentInterval(row)}`));
    return el("div", { class: "bar" }, el("div", { class: "label" }, name), naive, corrected || "");
  }));
}

// ---- series --------------------------------------------------------------------------------

const days = page.weeks.map((w) => Date.parse(w) / 864e5);

function drawSeries(now, base, estimated) {
  const box = byId("series");
  box.replaceChildren(seriesChart(now, base, {
    days, gaps: page.gaps, stale: population().stale, week: state.week, estimated, moved: moved(),
    width: box.clientWidth, onpick: (week) => choose({ week }),
  }));
  byId("series-words").replaceChildren(...seriesWords(estimated));
  drawTable(now, estimated);
}

function drawTipping(now) {
  const box = byId("tipping");
  box.replaceChildren(tippingChart(now, neutral(), { width: box.clientWidth, moved: moved() }));
}

function seriesWords(estimated) {
  const colour = (words, name) => el("strong", { style: { color: `var(${name})` } }, words);
  const start = [`${state.unit === "tokens" ? "Tokens" : "Dollars"} to Chinese models for each to US models, logarithmic: `, colour("on OpenRouter", "--muted")];
  if (!estimated) return [...start, "."];
  const info = { title: "Weekly ratios", atoms: sideAtoms("China", "US"), lines: [`Each week by itself: middle and ${LEVEL} interval of ${page.n_kept} draws.`, setting()] };
  return [...start, " and ", colour(moved() ? "on your settings" : "corrected", "--accent"), `, with the ${LEVEL} interval of each week by itself. Dashed: after the last `, num("disclosure", info),
    `.${moved() ? " Dotted: the model’s answer." : ""} `, el("span", { class: "click" }, "Click a week to choose it.")];
}

function drawTable(now, estimated) {
  const head = ["Week of", "OpenRouter", ...(estimated ? ["corrected", `${LEVEL} interval`] : [])];
  const rows = now.map((r, i) => el("tr", {}, el("th", { scope: "row" }, page.weeks[i]), el("td", {}, times(r.observed)),
    ...(estimated ? [el("td", {}, times(r.median)), el("td", {}, timesInterval(r))] : []))).reverse();
  byId("table").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...rows)));
}

// ---- sliders -------------------------------------------------------------------------------

const isLog = ({ range }) => range[0] > 0;
const position = (spec, value) => (isLog(spec) ? Math.log2(value) : value);
const valueAt = (spec, place) => (isLog(spec) ? 2 ** place : place);
const words = (spec, value) => (isLog(spec) ? `×${times(value)}` : `${times(value)} to 1`);

function makeSliders() {
  byId("sliders").replaceChildren(...SLIDERS.map((spec) => {
    const [low, high] = spec.range.map((v) => position(spec, v));
    const id = `belief-${spec.key}`;
    const input = el("input", { type: "range", id, min: low, max: high, step: 0.05, value: position(spec, NEUTRAL[spec.key]), "aria-describedby": `${id}-text` });
    input.addEventListener("input", () => {
      // Step by step from the end, the middle is hit to a rounding error only.
      const place = Math.round(Number(input.value) * 100) / 100;
      choose({ beliefs: { ...state.beliefs, [spec.key]: valueAt(spec, place) } });
    });
    return el("div", { class: "slider" },
      el("div", { class: "row" }, el("label", { for: id }, spec.title), el("output", { for: id, id: `${id}-value` })),
      el("div", { class: "track" }, input, el("div", { class: "tick", id: `${id}-tick`, hidden: "" })),
      el("div", { class: "ends" }, ...(isLog(spec) ? ["an eighth", "as the model says", "eightfold"] : ["none (model)", "three to one"]).map((w) => el("span", {}, w))),
      el("p", { id: `${id}-text` }, spec.text), el("p", { id: `${id}-flip` }));
  }));
}

function drawSliders() {
  for (const spec of SLIDERS) {
    const id = `belief-${spec.key}`;
    const value = state.beliefs[spec.key];
    const said = value === NEUTRAL[spec.key] ? `${isLog(spec) ? "×1" : "none"} (model)` : words(spec, value);
    byId(`${id}-value`).textContent = said;
    byId(id).value = position(spec, value);
    byId(id).setAttribute("aria-valuetext", said);
    const flip = flipAt(page, draws(), state.week, state.beliefs, state.unit, spec.key, spec.range);
    const tick = byId(`${id}-tick`);
    tick.hidden = flip === null;
    byId(`${id}-flip`).textContent = flip === null ? "No setting of this slider alone changes the lead." : `China leads ${flip.above ? "above" : "below"} ${words(spec, flip.at)}, the others as they stand.`;
    if (flip === null) continue;
    const [low, high] = spec.range.map((v) => position(spec, v));
    const part = (position(spec, flip.at) - low) / (high - low);
    // The thumb's centre does not reach the ends of the track: it is about 16 px wide.
    tick.style.setProperty("left", `calc(8px + ${part} * (100% - 16px))`);
  }
  byId("reset").disabled = !moved();
}

// ---- the whole -----------------------------------------------------------------------------

function drawUnknown() {
  const one = population();
  byId("unknown-title").textContent = `Not identified: ${one.title}`;
  byId("unknown-reason").textContent = `No usable public figure speaks of ${one.description}, so there is no estimate, only what can be ruled out. In the model’s words: ${one.reason}.`;
  byId("bounds").replaceChildren(...one.bounds[state.week].map(([name, low, high, rows]) => {
    const words = `between ${percent(low)} and ${percent(high)}`;
    const info = { title: "Bound", lines: [`China’s part of the tokens of China and the US: ${words}, ${name}.`], rows };
    return el("div", { class: "bound" }, "China’s part of the tokens of China and the US: ", num(words, info), `, ${name}`,
      el("div", { class: "space" }, el("div", { class: "fill", style: { left: `${100 * low}%`, width: `${100 * (high - low)}%` } })));
  }));
}

function panelRows() {
  const X = state.unit === "dollars" ? [...page.X_usd[state.week], 0] : [...page.X[state.week], page.stealth[state.week]];
  const volume = { X, Y: X.map((v) => new Float64Array(2).fill(v)) };
  return shares(page, volume, state.by, page.level);
}

function draw() {
  const estimated = population().identified;
  for (const id of ["answer", "beliefs", "tipping-section"]) byId(id).hidden = !estimated;
  byId("unknown").hidden = estimated;
  byId("key-corrected").hidden = !estimated;
  document.body.classList.toggle("panel-only", !estimated);
  byId("week").value = state.week;
  byId("earlier").disabled = state.week === 0;
  byId("later").disabled = state.week === page.weeks.length - 1;
  if (!estimated) {
    drawUnknown();
    drawBars(panelRows(), false);
    const panel = panelSeries(page, state.unit);
    drawSeries(panel, panel, false);
    return;
  }
  const volume = at(state.beliefs);
  const now = contest(page, volume, page.level);
  drawAnswer(now, shares(page, volume, "origin", page.level));
  drawBars(shares(page, volume, state.by, page.level), true);
  drawTipping(now);
  const base = neutralSeries();
  drawSeries(moved() ? series(page, draws(), state.beliefs, state.unit, page.level) : base, base, true);
  drawSliders();
  const { thinning, ess, k_hat } = population();
  byId("monte-carlo").textContent = `${page.n_kept} of ${page.n_draws} draws of the posterior (${ess} effective, k-hat ${k_hat}), chosen so that they have the weekly quantiles of all. For China’s share, ends and middles of all weeks differ from those of all draws by ${(100 * thinning.mean).toFixed(1)} points on average and ${(100 * thinning.largest).toFixed(1)} at most. Every number’s sources give its own error.`;
}

let waiting = false;
async function choose(change) {
  Object.assign(state, change);
  if (waiting) return;
  waiting = true;
  if (population().identified && !decoded.has(state.population)) {
    const index = state.population;
    decoded.set(index, await readPopulation(page.populations[index], page));
  }
  requestAnimationFrame(() => {
    waiting = false;
    if (population().identified && !draws()) choose({});
    else draw();
  });
}

function start() {
  byId("week").append(...page.weeks.map((w, i) => el("option", { value: i }, dateWords(w))).reverse());
  makeSliders();
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("change", (event) => {
    const { name, value, id } = event.target;
    if (name === "population") choose({ population: Number(value) });
    else if (name === "unit") choose({ unit: value });
    else if (id === "week") choose({ week: Number(value) });
  });
  byId("shares").addEventListener("change", (event) => choose({ by: event.target.value }));
  byId("earlier").addEventListener("click", () => choose({ week: Math.max(state.week - 1, 0) }));
  byId("later").addEventListener("click", () => choose({ week: Math.min(state.week + 1, page.weeks.length - 1) }));
  byId("reset").addEventListener("click", () => choose({ beliefs: { ...NEUTRAL } }));
  byId("close").addEventListener("click", () => byId("sources").close());
  byId("sources").addEventListener("click", (event) => event.target === byId("sources") && byId("sources").close());
  new ResizeObserver(() => choose({})).observe(byId("series"));
  window.addEventListener("beforeprint", () => draws() && draw());
  choose({});
}

start();
