// Requests that are under way now.

import { attribute, byId, h, parts, put } from "./dom.js";
import { count, decimal, plural, seconds, UNKNOWN } from "./format.js";
import { newChip, phase, routeChip } from "./names.js";
import { makeTable } from "./table.js";

const columns = [
  { head: "Session", rowHead: true, fill: session },
  { head: "Phase", half: true, fill: phaseCell },
  { head: "Route", fill: (cell, row) =>
    routeChip(parts(cell, () => {
      const chip = newChip("");
      cell.append(chip);
      return { chip };
    }).chip, row.route) },
  { head: "Tier", text: (row) => row.tier ?? UNKNOWN,
    title: (row) => row.label },
  { head: "Backend", text: (row) => row.backend ?? UNKNOWN },
  { head: "Age", number: true, text: (row) => seconds(row.age_s) },
  { head: "Tokens", number: true, text: (row) => count(row.tokens) },
  { head: "Tokens/s", number: true, text: (row) => decimal(row.tokens_s) },
  { head: "Waited", number: true, text: (row) => row.queue_s ? seconds(row.queue_s) : UNKNOWN,
    title: () => "time spent waiting for a free slot" },
];

let table = null;

export function onLive(live) {
  table ??= makeTable(byId("in-flight"), {
    caption: "Requests in flight",
    columns,
    keyOf: (row) => row.id,
    empty: "Nothing is under way. Send a request, or use “Try it” below.",
  });
  table.update(live.in_flight);
  const more = live.in_flight_total - live.in_flight.length;
  const workers = plural(live.workers, "worker");
  put(byId("in-flight-note"), more > 0 ? `The ${live.in_flight.length} oldest of `
    + `${count(live.in_flight_total)} in ${workers}.` : `In ${workers}, oldest first.`);
}

function session(cell, row) {
  const { id, kind } = parts(cell, () => {
    const made = { id: h("span", { class: "id" }), kind: h("span", { class: "muted" }) };
    cell.append(made.id, " ", made.kind);
    return made;
  });
  put(id, row.id);
  const route = row.requested_route && row.requested_route !== "auto"
    ? `, asked for ${row.requested_route}` : "";
  put(kind, `${row.endpoint}${row.stream ? ", streamed" : ""}${route}${row.test ? ", test" : ""}`);
  attribute(cell, "title", `worker ${row.worker}`);
}

function phaseCell(cell, row) {
  const { text, tag } = parts(cell, () => {
    const made = { text: h("span", { class: "phase" }), tag: h("span", { class: "tag" }) };
    cell.append(made.text, " ", made.tag);
    made.tag.textContent = "speculating";
    return made;
  });
  put(text, phase(row.phase));
  attribute(text, "data-phase", row.phase);
  attribute(tag, "hidden", !row.speculating);
}
