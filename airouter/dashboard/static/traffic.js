// Traffic by route and by tier, time to first token, and where the time goes.

import { byId, h, parts, put, style, attribute } from "./dom.js";
import { count, ms, percent, windowWords } from "./format.js";
import { inOrder, newChip, routeChip, routeColour, tierColour } from "./names.js";
import { makeChart } from "./chart.js";
import { makeTable } from "./table.js";

let made = null;
const NONE = "No requests in this time. Choose a longer one above, or send a request.";

export function onHistory(history) {
  made ??= build();
  const { series, bucket_s: bucketS } = history;
  const { t } = series;
  made.byRoute.update({ t, bucketS, series: stack(series.by_route, "route") });
  made.byTier.update({ t, bucketS, series: stack(series.by_tier, "tier") });
  made.ttft.update({ t, bucketS, series: lines(series.ttft_ms) });
  made.total.update({ t, bucketS, series: lines(series.total_ms) });
  made.routes.update(history.routes);
  made.tiers.update(history.tiers);
  drawStages(history);
}

function build() {
  const chart = (id, title, stacked) => makeChart(byId(id), {
    title, stacked, format: stacked ? count : ms, empty: NONE,
  });
  const empty = "No requests in this time.";
  return {
    byRoute: chart("chart-route", "Requests by route", true),
    byTier: chart("chart-tier", "Requests by tier", true),
    ttft: chart("chart-ttft", "Time to first token", false),
    total: chart("chart-total", "Total time", false),
    routes: makeTable(byId("routes-table"), {
      caption: "Routes", columns: routeColumns, keyOf: (row) => row.route, empty }),
    tiers: makeTable(byId("tiers-table"), {
      caption: "Tiers", columns: tierColumns, keyOf: (row) => row.tier, empty }),
    stages: makeTable(byId("stages"), {
      caption: "Stages of a request", columns: stageColumns, keyOf: (row) => row.stage,
      empty: NONE }),
  };
}

const stack = (byName, kind) => inOrder(Object.keys(byName), kind).map((name) => ({
  name, values: byName[name],
  colour: kind === "tier" ? tierColour(name) : routeColour(name),
}));

const lines = (byName) => ["p50", "p95", "p99"].map((name, i) => ({
  name, values: byName[name], colour: `--line-${i + 1}`,
}));

function chipCell(cell, row) {
  const { chip } = parts(cell, () => {
    const chip = newChip("");
    cell.append(chip);
    return { chip };
  });
  routeChip(chip, row.route);
}

const routeColumns = [
  { head: "Route", rowHead: true, fill: chipCell },
  { head: "Requests", number: true, text: (row) => count(row.requests) },
  { head: "Share", number: true, text: (row) => percent(row.share) },
  { head: "Failed", number: true, text: (row) => count(row.failed) },
  { head: "TTFT p50", number: true, text: (row) => ms(row.ttft_ms?.p50) },
  { head: "p95", number: true, text: (row) => ms(row.ttft_ms?.p95) },
  { head: "p99", number: true, text: (row) => ms(row.ttft_ms?.p99) },
];

const tierColumns = [
  { head: "Tier", rowHead: true, fill: tierCell },
  { head: "Requests", number: true, text: (row) => count(row.requests) },
  { head: "Share", number: true, text: (row) => percent(row.share) },
  { head: "p50", number: true, text: (row) => ms(row.decision_ms?.p50) },
  { head: "p95", number: true, text: (row) => ms(row.decision_ms?.p95) },
  { head: "p99", number: true, text: (row) => ms(row.decision_ms?.p99) },
];

function tierCell(cell, row) {
  const { swatch, name } = parts(cell, () => {
    const made = { swatch: h("span", { class: "swatch", "aria-hidden": "true" }), name: h("span") };
    cell.append(made.swatch, made.name);
    return made;
  });
  style(swatch, "--swatch", `var(${tierColour(row.tier)})`);
  put(name, row.tier);
}

// Stages -------------------------------------------------------------------------------------

const LEAST_MS = 0.1; // the left end of the logarithmic scale
let highest = 1000;

const place = (value) =>
  (100 * Math.log(Math.max(value, LEAST_MS) / LEAST_MS)) / Math.log(highest / LEAST_MS);

function drawStages(history) {
  const most = Math.max(100, ...history.stages.map((stage) => stage.p99 ?? 0));
  highest = 10 ** Math.ceil(Math.log10(most));
  made.stages.update(history.stages);
  put(byId("stages-note"), `Each bar ends at p50, p95 and p99. The scale is logarithmic, from `
    + `${ms(LEAST_MS)} to ${ms(highest)}: each line is ten times the one before. Requests in `
    + `${windowWords(history.window_s)}.`);
}

const stageColumns = [
  { head: "Stage", rowHead: true, text: (row) => row.stage },
  { head: "Time", wide: true, fill: stageBar },
  { head: "p50", number: true, text: (row) => ms(row.p50) },
  { head: "p95", number: true, text: (row) => ms(row.p95) },
  { head: "p99", number: true, text: (row) => ms(row.p99) },
  { head: "Requests", number: true, text: (row) => count(row.n) },
];

function stageBar(cell, row) {
  const bars = parts(cell, () => {
    const made = { p99: h("span"), p95: h("span"), p50: h("span") };
    cell.append(h("div", { class: "stage-bar", "aria-hidden": "true" }, ...Object.values(made)));
    return made;
  });
  style(cell.firstElementChild, "--decades", String(Math.log10(highest / LEAST_MS)));
  for (const [name, node] of Object.entries(bars)) {
    attribute(node, "class", name);
    style(node, "inline-size", `${place(row[name] ?? 0)}%`);
  }
}
