// Charts as SVG elements, and how elements are made.
import { line, logScale, ticks, times } from "./model.mjs";

// ---- elements ------------------------------------------------------------------------------

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes))
    if (name === "style") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  node.append(...children);
  return node;
}
export const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
export const text = (words, attributes) => svg("text", attributes, words);
// ---- charts --------------------------------------------------------------------------------

// Weekly ratios: `now` as set, `base` as the model says; `view` has weeks, gaps, stale, chosen week,
// whether there is an estimate, whether a slider was moved, and what to do on a click.
export function seriesChart(now, base, view) {
  const { days, gaps, estimated } = view;
  const isBreak = (i) => gaps[i];
  const W = Math.max(view.width, 280), H = W < 520 ? 260 : 330, wide = W >= 640;
  const pad = { left: 34, right: wide ? 96 : 10, top: 16, bottom: 26 };
  const all = [...base, ...now].flatMap((r) => [r.observed, ...(estimated ? [r.low, r.high] : [])]).filter((r) => r > 0);
  const domain = [Math.max(Math.min(...all, 0.5), 0.004) / 1.15, Math.min(Math.max(...all, 2), 200) * 1.15];
  const x = (d) => pad.left + ((d - days[0]) / (days.at(-1) - days[0])) * (W - pad.left - pad.right);
  const log = logScale(domain, [H - pad.bottom, pad.top]);
  const y = (v) => Math.min(Math.max(log(v), pad.top), H - pad.bottom);
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Ratio of Chinese to US models by week; the table below has the numbers." });
  for (const tick of ticks(domain))
    root.append(svg("line", { x1: pad.left, x2: W - pad.right, y1: y(tick), y2: y(tick), style: { stroke: tick === 1 ? "var(--ink)" : "var(--grid)", "stroke-width": tick === 1 ? 1.2 : 1 } }),
      text(String(tick), { x: pad.left - 6, y: y(tick) + 4, "text-anchor": "end" }));
  const quarters = quarterStarts(days);
  const [first] = quarters[0];
  for (const [i, year, month] of quarters)
    root.append(text(month === 1 ? year : ["", "Apr", "Jul", "Oct"][(month - 1) / 3] + (i === first ? ` ${year}` : ""), { x: x(i), y: H - 6, "text-anchor": "middle" }));
  const path = (values, style) => svg("path", { d: line(values.map((v, i) => [x(days[i]), y(v)]), isBreak), style: { fill: "none", ...style } });
  if (estimated) {
    for (const [a, b] of runs(gaps, now.length))
      root.append(svg("path", { d: band(now.slice(a, b), days.slice(a, b), x, y), style: { fill: "var(--accent)", opacity: 0.2 } }));
    if (view.moved) root.append(path(base.map((r) => r.median), { stroke: "var(--muted)", "stroke-width": 1.3, "stroke-dasharray": "2 3" }));
    // Solid up to the last disclosure, dashed after it; the two parts share a point.
    const stale = view.stale;
    const last = stale.findLastIndex((s) => s <= 0);
    const part = (from, to, dash) => svg("path", { d: line(now.slice(from, to).map((r, i) => [x(days[from + i]), y(r.median)]), (i) => isBreak(from + i)), style: { fill: "none", stroke: "var(--accent)", "stroke-width": 2.2, "stroke-dasharray": dash } });
    root.append(part(0, last + 1, "none"), part(Math.max(last, 0), now.length, "4 3"));
  }
  root.append(path(now.map((r) => r.observed), { stroke: "var(--panel)", "stroke-width": 1.8 }));
  const chosen = now[view.week];
  root.append(svg("line", { x1: x(days[view.week]), x2: x(days[view.week]), y1: pad.top, y2: H - pad.bottom, style: { stroke: "var(--ink)", "stroke-width": 1, "stroke-dasharray": "1 2" } }),
    svg("circle", { cx: x(days[view.week]), cy: y(chosen.observed), r: 4, style: { fill: "var(--panel)" } }));
  if (estimated) root.append(svg("circle", { cx: x(days[view.week]), cy: y(chosen.median), r: 4.5, style: { fill: "var(--accent)" } }));
  if (wide) for (const [words, v, colour] of endLabels(now, view, y))
    root.append(text(words, { class: "strong", x: W - pad.right + 8, y: v + 4, style: { fill: colour } }));
  root.append(text("China ahead ↑", { class: "halo", x: pad.left + 6, y: y(1) - 6 }), text("US ahead ↓", { class: "halo", x: pad.left + 6, y: y(1) + 15 }));
  const hit = svg("rect", { class: "pick", x: pad.left, y: pad.top, width: W - pad.left - pad.right, height: H - pad.top - pad.bottom, style: { fill: "transparent" } });
  hit.addEventListener("click", (event) => {
    const here = event.clientX - root.getBoundingClientRect().left;
    const distance = days.map((d) => Math.abs(x(d) - here));
    view.onpick(distance.indexOf(Math.min(...distance)));
  });
  root.append(hit);
  return root;
}

function endLabels(now, { estimated, moved }, y) {
  const labels = [["OpenRouter", y(now.at(-1).observed), "var(--muted)"]];
  if (estimated) labels.push([moved ? "your settings" : "corrected", y(now.at(-1).median), "var(--accent)"]);
  if (labels.length === 2 && Math.abs(labels[0][1] - labels[1][1]) < 14) {
    const up = labels[0][1] <= labels[1][1] ? 0 : 1;
    labels[up][1] -= 7;
    labels[1 - up][1] += 7;
  }
  return labels;
}

function runs(gaps, n) {
  const cuts = [0, ...gaps.flatMap((gap, i) => (gap ? [i] : [])), n];
  return cuts.slice(1).map((end, i) => [cuts[i], end]).filter(([a, b]) => b > a);
}

function band(rows, at, x, y) {
  const top = rows.map((r, i) => `${x(at[i]).toFixed(1)} ${y(r.high).toFixed(1)}`);
  const low = rows.map((r, i) => `${x(at[i]).toFixed(1)} ${y(r.low).toFixed(1)}`).reverse();
  return `M${[...top, ...low].join("L")}Z`;
}

function quarterStarts(days) {
  const out = [];
  const begin = new Date(days[0] * 864e5).getUTCFullYear();
  for (let year = begin; year <= begin + 20; year++)
    for (const month of [1, 4, 7, 10]) {
      const day = Date.UTC(year, month - 1, 1) / 864e5;
      if (day >= days[0] - 6 && day <= days.at(-1)) out.push([Math.max(day, days[0]), String(year), month]);
    }
  return out;
}

// The under-sampling as set and as the model says, against the value at which the lead flips.
export function tippingChart(now, base, { width, moved }) {
  const W = Math.max(width, 280), H = 128, y = 64;
  const values = [now, base].flatMap((c) => [c.undersampling.low, c.undersampling.high, c.observed]);
  const domain = [Math.min(...values) / 1.6, Math.max(...values) * 1.6];
  const x = logScale(domain, [8, W - 8]);
  const flip = x(now.observed);
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Estimated under-sampling against the value at which the lead flips" });
  root.append(svg("rect", { x: 8, y: 26, width: Math.max(flip - 8, 0), height: 66, style: { fill: "var(--china-open)", opacity: 0.12 } }),
    svg("rect", { x: flip, y: 26, width: Math.max(W - 8 - flip, 0), height: 66, style: { fill: "var(--us-closed)", opacity: 0.12 } }));
  for (const tick of ticks(domain))
    root.append(svg("line", { x1: x(tick), x2: x(tick), y1: 92, y2: 97, style: { stroke: "var(--muted)" } }), text(`${tick}×`, { x: x(tick), y: 111, "text-anchor": "middle" }));
  if (moved) root.append(svg("line", { x1: x(base.undersampling.low), x2: x(base.undersampling.high), y1: y + 16, y2: y + 16, style: { stroke: "var(--muted)", "stroke-width": 2, "stroke-dasharray": "2 3" } }),
    svg("circle", { cx: x(base.undersampling.median), cy: y + 16, r: 3.5, style: { fill: "var(--muted)" } }));
  root.append(svg("line", { x1: flip, x2: flip, y1: 20, y2: 97, style: { stroke: "var(--ink)", "stroke-width": 2 } }),
    text(`the lead flips at ${times(now.observed)}×`, { class: "strong", x: Math.min(Math.max(flip, 80), W - 80), y: 14, "text-anchor": "middle", style: { fill: "var(--ink)" } }));
  if (flip > 90) root.append(text("China ahead", { x: flip - 8, y: 42, "text-anchor": "end" }));
  if (W - flip > 90) root.append(text("US ahead", { x: flip + 8, y: 42 }));
  root.append(svg("line", { x1: x(now.undersampling.low), x2: x(now.undersampling.high), y1: y, y2: y, style: { stroke: "var(--accent)", "stroke-width": 7, "stroke-linecap": "round", opacity: 0.45 } }),
    svg("circle", { cx: x(now.undersampling.median), cy: y, r: 7, style: { fill: "var(--accent)" } }));
  return root;
}
