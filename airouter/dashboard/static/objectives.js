// Error budgets, worst first, and alerts, firing ones first.

import { attribute, byId, h, icon, keyed, parts, put, setIcon, show, style } from "./dom.js";
import { burn, count, iso, percent, plural, seconds, time, UNKNOWN } from "./format.js";
import { newSpark } from "./spark.js";
import { makeTable } from "./table.js";

const LOW = 0.25; // of a budget: worth a look

const columns = [
  { head: "Objective", rowHead: true, fill: nameCell },
  { head: "Target", number: true, text: (row) => percent(row.target) },
  { head: "Now", number: true, text: (row) => percent(row.ratio),
    title: (row) => `${count(row.good)} good, ${count(row.bad)} bad in ${row.days} days` },
  { head: "Budget left", wide: true, fill: budgetCell },
  { head: "Burn 1 h", number: true, text: (row) => burn(row.burn_rates["1h"]), title: burnWords },
  { head: "Burn 6 h", number: true, text: (row) => burn(row.burn_rates["6h"]), title: burnWords },
  { head: "Budget over time", wide: true, fill: sparkCell },
];

let table = null;

export function onObjectives({ objectives, alerts, problem, evaluated_at: at }) {
  table ??= makeTable(byId("objectives"), {
    caption: "Error budgets, worst first", columns,
    keyOf: (row) => `${row.slo} ${row.profile}`,
    empty: "No objectives are configured; docs/slo.md says how to set them.",
  });
  const counted = objectives.filter((row) => row.good + row.bad > 0);
  table.update(counted.sort(worse), problem
    || (at === null ? "The first evaluation comes within half a minute (slo.every)." : "")
    || (objectives.length ? "Nothing has counted for an objective yet: send a request." : ""));
  quietOnes(objectives.filter((row) => row.good + row.bad === 0));
  put(byId("objectives-note"), problem && objectives.length ? problem
    : at === null ? "Not evaluated yet." : `Evaluated at ${time(at)}. A burn rate of 1× uses up `
      + "the budget exactly at the end of its period.");
  const order = { firing: 0, pending: 1, resolved: 2 };
  const sorted = [...alerts].sort((a, b) => order[a.state] - order[b.state] || b.since - a.since);
  keyed(byId("alerts"), sorted, (alert) => `${alert.name} ${alert.slo} ${alert.since}`,
    newAlert, updateAlert);
  show(byId("alerts-empty"), alerts.length === 0);
}

// Objectives that nothing has counted for: of models that nobody uses here, of the mapper.
function quietOnes(rows) {
  const node = byId("objectives-quiet");
  put(node.querySelector("summary"), `${plural(rows.length, "objective")} without events`);
  keyed(node.querySelector("ul"), rows, (row) => `${row.slo} ${row.profile}`, (row) =>
    h("li", {}, h("strong", {}, row.slo), h("span", { class: "muted" }, ` ${row.description}`)),
    () => {});
  show(node, rows.length > 0);
}

function worse(a, b) {
  if (a.informational !== b.informational) return a.informational ? 1 : -1;
  return (a.budget_left ?? Infinity) - (b.budget_left ?? Infinity) || 0;
}

export const budgetLevel = (left) =>
  left === null ? "idle" : left <= 0 ? "bad" : left < LOW ? "warn" : "good";

function nameCell(cell, row) {
  const { name, about, tag } = parts(cell, () => {
    const made = {
      name: h("strong"), about: h("span", { class: "muted about" }),
      tag: h("span", { class: "tag" }, "informational"),
    };
    cell.append(made.name, " ", made.tag, made.about);
    return made;
  });
  put(name, row.slo);
  attribute(tag, "hidden", !row.informational);
  put(about, row.description);
}

function budgetCell(cell, row) {
  const { mark, bar, text } = parts(cell, () => {
    const made = { mark: icon("idle"), bar: h("span"), text: h("span", { class: "figure" }) };
    cell.append(h("div", { class: "budget" }, made.mark,
      h("span", { class: "budget-bar", "aria-hidden": "true" }, made.bar), made.text));
    return made;
  });
  const left = row.budget_left;
  const level = budgetLevel(left);
  setIcon(mark, level);
  attribute(cell.firstElementChild, "data-level", level);
  style(bar, "inline-size", `${100 * Math.min(1, Math.max(0, left ?? 0))}%`);
  put(text, left === null ? UNKNOWN : left < 0 ? `overspent by ${percent(-left)}` : percent(left));
}

function sparkCell(cell, row) {
  const { spark, holder } = parts(cell, () => {
    const holder = h("div", { role: "img", class: "burn-down" });
    cell.append(holder);
    return { holder, spark: newSpark(holder) };
  });
  const { left } = row.burn_down;
  spark.update(left);
  attribute(holder, "data-level", budgetLevel(row.budget_left));
  const known = left.filter((value) => value !== null);
  attribute(holder, "aria-label", known.length
    ? `Budget left over ${row.days} days: from ${percent(known[0])} to ${percent(known.at(-1))}, `
      + `lowest ${percent(Math.min(...known))}`
    : "no values yet");
}

function burnWords({ burn_rates: rates }) {
  return ["5m", "1h", "6h", "1d", "3d"].map((name) => `${name}: ${burn(rates[name])}`).join(", ");
}

// Alerts -------------------------------------------------------------------------------------

const SEVERITY = { critical: "bad", warning: "warn", info: "idle" };

function newAlert() {
  const node = h("li", { class: "card alert" });
  parts(node, () => {
    const made = {
      mark: icon("idle"), title: h("h4"), state: h("span", { class: "state" }),
      text: h("p"), more: h("p", { class: "muted" }), since: h("time"), rest: h("span"),
      runbook: h("span"),
    };
    made.more.append("Since ", made.since, made.rest, made.runbook);
    node.append(h("div", { class: "card-head" }, made.title,
      h("p", { class: "state-line" }, made.mark, made.state)), made.text, made.more);
    return made;
  });
  return node;
}

function updateAlert(node, alert) {
  const { mark, title, state, text, since, rest, runbook } = parts(node);
  const level = alert.state === "resolved" ? "good" : SEVERITY[alert.severity] ?? "warn";
  attribute(node, "data-level", level);
  setIcon(mark, level);
  put(title, alert.name);
  put(state, `${alert.state}, ${alert.severity} (${alert.priority})`);
  put(text, alert.description);
  put(since, time(alert.since));
  attribute(since, "title", iso(alert.since));
  attribute(since, "datetime", iso(alert.since));
  const lasted = seconds(Math.max(0, Date.now() / 1000 - alert.since));
  put(rest, ` (${lasted} ago). Objective ${alert.slo}, value ${number(alert.value)}, threshold `
    + `${number(alert.threshold)}, budget left ${percent(alert.budget_left)}. `);
  if (runbook.dataset.of !== alert.runbook) {
    runbook.dataset.of = alert.runbook;
    runbook.replaceChildren(...(alert.runbook ? [runbookNode(alert.runbook)] : []));
  }
}

const number = (value) => value === null ? UNKNOWN : String(Number(value.toPrecision(3)));

const runbookNode = (where) => /^https?:\/\//i.test(where)
  ? h("a", { href: where, rel: "noreferrer", target: "_blank" }, "Runbook")
  : h("span", {}, "Runbook: ", h("code", {}, where));
