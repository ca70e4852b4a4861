// Evaluates cases with the page's own functions: node page_vectors.mjs MODEL PAGE CASES
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , modelPath, pagePath, casesPath] = process.argv;
const model = await import(pathToFileURL(modelPath));
const page = JSON.parse(readFileSync(pagePath, "utf8"));
const cases = JSON.parse(readFileSync(casesPath, "utf8"));
const decoded = new Map();

for (const { population } of cases)
  if (!decoded.has(population)) {
    const entry = page.populations.find((p) => p.name === population);
    decoded.set(population, await model.readPopulation(entry, page));
  }

const results = cases.map(({ population, week, unit, beliefs, level, by }) => {
  const draws = decoded.get(population);
  const volume = model.volumes(page, draws, week, beliefs, unit);
  const ranges = { closed_us: [1 / 8, 8], china: [1 / 8, 8], self_host: [0, 3], price: [1 / 8, 8] };
  const flips = Object.entries(ranges).map(([belief, range]) => [
    belief, model.flipAt(page, draws, week, beliefs, unit, belief, range),
  ]);
  return {
    contest: model.contest(page, volume, level),
    shares: model.shares(page, volume, by, level),
    series: model.series(page, draws, beliefs, unit, level)[week],
    panel: model.panelSeries(page, unit)[week].observed,
    flips: Object.fromEntries(flips),
  };
});
const words = {
  percents: [0, 0.0004, 0.00431, 0.0431, 0.0996, 0.62, 1].map(model.percent),
  times: [0.0456, 1, 12.34, 1234].map(model.times),
  probabilities: [0, 0.128, 1].map(model.probability),
  verdicts: [0.01, 0.5, 0.99].map(model.verdict),
  date: model.dateWords("2026-09-07"),
  ticks: model.ticks([0.05, 3]),
  line: model.line([[0, 0], [1, 2], [3, 4]], (i) => i === 2),
};
process.stdout.write(JSON.stringify({ results, words }));
