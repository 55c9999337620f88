// What each tier said, with its probability drawn against the threshold it had to reach.

import { attribute, h, parts, put, show, style } from "./dom.js";
import { ms, probability, UNKNOWN } from "./format.js";
import { } from "./names.js";
import { makeTable } from "./table.js";

export function newGauge() {
  const gauge = h("span", { class: "gauge" });
  parts(gauge, () => {
    const made = { bar: h("span", { class: "bar" }), mark: h("span", { class: "threshold" }),
      text: h("span", { class: "figure" }) };
    gauge.append(
      h("span", { class: "track", "aria-hidden": "true" }, made.bar, made.mark), made.text);
    return made;
  });
  return gauge;
}

export function drawGauge(gauge, p, threshold) {
  const { bar, mark, text } = parts(gauge);
  const known = typeof p === "number";
  show(gauge, known);
  if (!known) return;
  const against = typeof threshold === "number";
  style(bar, "inline-size", `${100 * Math.min(1, Math.max(0, p))}%`);
  show(mark, against);
  if (against) style(mark, "inset-inline-start", `${100 * threshold}%`);
  const enough = !against || p >= threshold;
  attribute(gauge, "data-enough", String(enough));
  put(text, against ? `${probability(p)} ${enough ? "≥" : "<"} ${probability(threshold)}`
    : probability(p));
}

const columns = [
  { head: "Tier", rowHead: true, text: (row) => row.tier },
  { head: "Verdict", half: true, fill: (cell, row) => {
    const { label, reason } = parts(cell, () => {
      const made = { label: h("span"), reason: h("span", { class: "muted about" }) };
      cell.append(made.label, made.reason);
      return made;
    });
    put(label, row.label ?? (row.guess ? `undecided (${row.guess}?)` : "undecided"));
    put(reason, row.reason);
  } },
  { head: "Time", number: true, text: (row) => ms(row.ms) },
  { head: "Probability and threshold", wide: true, fill: (cell, row) => {
    const { gauge, none } = parts(cell, () => {
      const made = { gauge: newGauge(), none: h("span", {}, UNKNOWN) };
      cell.append(made.gauge, made.none);
      return made;
    });
    drawGauge(gauge, row.p, row.threshold);
    show(none, typeof row.p !== "number");
  } },
];

export const verdictTable = (holder, empty) => makeTable(holder, {
  caption: "Verdicts of the tiers", columns, keyOf: (row) => row.key, empty,
});

export const withKeys = (verdicts) =>
  verdicts.map((verdict, i) => ({ ...verdict, key: `${i} ${verdict.tier}` }));
