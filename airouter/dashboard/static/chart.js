// A chart over time: stacked bars or lines, with a legend of its own and a text for those who
// cannot see it. It is updated in place, and drawn only while the tab is seen.

import { attribute, h, keyed, parts, put, show, style } from "./dom.js";
import { time, UNKNOWN } from "./format.js";
import { cssColour } from "./names.js";

const HEIGHT = 200;
const { uPlot } = globalThis;
const DASHES = [[], [6, 4], [2, 3]];
const charts = new Set();

// Args:
//   title: what it shows, for the text alternative.
//   stacked: bars on top of each other; else lines.
//   format: a value as text.
//   empty: what to say where there is no value.
// Returns { update({ t, bucketS, series: [{ name, colour, values }] }) }.
export function makeChart(holder, { title, stacked, format, empty }) {
  const plotHolder = h("div", { class: "plot", role: "img" });
  const legend = h("ul", { class: "legend", role: "list" });
  const nothing = h("p", { class: "empty" }, empty);
  holder.replaceChildren(legend, plotHolder, nothing);
  const chart = { plot: null, names: "", shown: null, pending: null, draw: null, cursor: null };
  charts.add(chart);

  const drawLegend = (at) => {
    const { series, t } = chart.shown;
    const rows = series.map((s) => ({ ...s, value: at === null ? atRest(s.values, stacked)
      : s.values[at] }));
    keyed(legend, rows, (row) => row.name, newEntry, (node, row) => {
      const { swatch, value } = parts(node);
      attribute(swatch, "class", stacked ? "swatch" : `swatch line dash-${row.dash}`);
      style(swatch, "--swatch", `var(${row.colour})`);
      put(value, row.value === null ? UNKNOWN : format(row.value));
    });
    attribute(legend, "data-at", at === null ? (stacked ? "in all" : "latest") : time(t[at]));
  };

  chart.draw = () => {
    const { t, series, bucketS } = chart.pending ?? chart.shown;
    chart.pending = null;
    chart.shown = { t, bucketS, series: series.map((s, i) => ({ ...s, dash: i % DASHES.length })) };
    const filled = series.some((s) => s.values.some((value) => value));
    show(nothing, !filled);
    show(plotHolder, filled);
    show(legend, filled);
    if (!filled) return;
    attribute(plotHolder, "aria-label", alternative(title, series, t, stacked, format));
    const names = series.map((s) => s.name).join("\n");
    if (names !== chart.names) {
      chart.plot?.destroy();
      chart.plot = null;
      chart.names = names;
    }
    const data = dataOf(t, series, stacked);
    if (chart.plot) chart.plot.setData(data);
    else {
      const options = optionsOf(chart, stacked, format, plotHolder.clientWidth, drawLegend);
      chart.plot = new uPlot(options, data, plotHolder);
    }
    drawLegend(chart.plot.cursor.idx ?? null);
  };

  new ResizeObserver(() => {
    const width = plotHolder.clientWidth;
    if (chart.plot && width && width !== chart.plot.width) {
      chart.plot.setSize({ width, height: HEIGHT });
    }
  }).observe(plotHolder);

  return {
    update(shown) {
      chart.pending = shown;
      if (!document.hidden) chart.draw();
    },
  };
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const chart of charts) if (chart.pending) chart.draw();
});
document.addEventListener("themechange", () => {
  for (const chart of charts) chart.plot?.redraw(false);
});

function newEntry(row) {
  const entry = h("li");
  parts(entry, () => {
    const made = { swatch: h("span", { "aria-hidden": "true" }), value: h("b") };
    entry.append(made.swatch, h("span", {}, row.name), " ", made.value);
    return made;
  });
  return entry;
}

const last = (values) => values.findLast((value) => value !== null) ?? null;

const atRest = (values, stacked) =>
  stacked ? values.reduce((sum, value) => sum + (value ?? 0), 0) : last(values);

// uPlot draws the first series first: the whole height, then what covers its lower part.
function dataOf(t, series, stacked) {
  if (!stacked) return [t, ...series.map((s) => s.values)];
  const sums = [];
  let below = t.map(() => 0);
  for (const { values } of series) {
    below = below.map((sum, i) => sum + (values[i] ?? 0));
    sums.unshift(below);
  }
  return [t, ...sums];
}

function optionsOf(chart, stacked, format, width, drawLegend) {
  const shown = () => chart.shown;
  const axis = {
    stroke: () => cssColour("--muted"), font: "12px system-ui, sans-serif",
    grid: { stroke: () => cssColour("--grid"), width: 1 }, ticks: { show: false },
  };
  const n = shown().series.length;
  const lines = shown().series.map((_, i) => {
    const of = stacked ? n - 1 - i : i;
    const colour = () => cssColour(shown().series[of].colour);
    return stacked ? {
      fill: colour, stroke: () => cssColour("--surface"), width: 1, points: { show: false },
      paths: uPlot.paths.bars({ size: [0.92, 48], align: 1 }),
    } : {
      stroke: colour, width: 2, dash: DASHES[i % DASHES.length], spanGaps: false,
      points: { show: true, size: 6, fill: colour, width: 0, filter: alone },
    };
  });
  return {
    width: width || 300, height: HEIGHT, padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false, points: { show: !stacked } },
    scales: {
      x: { range: () => [shown().t[0], shown().t.at(-1) + (stacked ? shown().bucketS : 0)] },
      y: { range: (_, low, high) => [0, Math.max(high * 1.08, 1)] },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 64, size: 28,
        values: (_, splits) => splits.map((at) => dayOrTime(at, shown())) },
      { ...axis, size: 56, values: (_, splits) => splits.map((v) =>
        stacked && !Number.isInteger(v) ? "" : v === 0 ? "0" : format(v)) },
    ],
    series: [{}, ...lines],
    hooks: { setCursor: [(plot) => drawLegend(plot.cursor.idx ?? null)] },
  };
}

// The indexes of values between gaps: a line alone would not show them.
function alone(plot, index) {
  const values = plot.data[index];
  const empty = (i) => (values[i] ?? null) === null;
  return [...values.keys()].filter((i) => !empty(i) && empty(i - 1) && empty(i + 1));
}

function dayOrTime(at, { t }) {
  const date = new Date(at * 1000);
  const hours = `${date.getHours()}`.padStart(2, "0");
  const minutes = `${date.getMinutes()}`.padStart(2, "0");
  if (t.at(-1) - t[0] <= 90_000) return `${hours}:${minutes}`;
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })
    + (hours === "00" ? "" : ` ${hours} h`);
}

function alternative(title, series, t, stacked, format) {
  const told = series.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    if (!known.length) return `${name} unknown`;
    const all = stacked ? `${format(atRest(values, true))} in all, ` : "";
    return `${name}: ${all}latest ${format(last(values))}, `
      + `lowest ${format(Math.min(...known))}, highest ${format(Math.max(...known))}`;
  });
  return `${title}, from ${time(t[0])} to ${time(t.at(-1))}. ${told.join("; ")}.`;
}
