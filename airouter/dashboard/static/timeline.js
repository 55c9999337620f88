// The course of one request as bars on one scale.

import { h, style } from "./dom.js";
import { ms } from "./format.js";
import { routeColour } from "./names.js";

// Args: list: an <ol>; entries: as in the contract; totalMs: the end of the scale, if known.
export function drawTimeline(list, entries, totalMs) {
  const end = Math.max(totalMs ?? 0, 1, ...entries.map(({ start_ms: s, ms: n }) => s + n));
  list.replaceChildren(...entries.map((entry) => bar(entry, end)));
}

function bar({ name, kind, start_ms: start, ms: lasted, note }, end) {
  const piece = h("span", { class: `piece kind-${kind}` });
  style(piece, "inset-inline-start", `${(100 * start) / end}%`);
  if (kind === "attempt") { // its note begins with the backend's name, as routes are called
    style(piece, "background", `var(${routeColour((note || name).split(/[,: ]/)[0])})`);
  }
  if (kind !== "mark") style(piece, "inline-size", `${Math.max(0.3, (100 * lasted) / end)}%`);
  const when = kind === "mark" ? `at ${ms(start)}` : `${ms(lasted)}, from ${ms(start)}`;
  return h("li", { class: `step kind-${kind === "tier" ? "tier" : "own"}` },
    h("span", { class: "step-name" }, name),
    h("span", { class: "track", "aria-hidden": "true" }, piece),
    h("span", { class: "step-time" }, when),
    note ? h("span", { class: "step-note muted" }, note) : null);
}
