// What the router does with the request of “Try it”: its phases, the decision, the verdicts.

import { attribute, byId, h, keyed, put, show } from "./dom.js";
import { ms } from "./format.js";
import { newChip, phase, requestLink, routeChip, words } from "./names.js";
import { drawGauge, newGauge, verdictTable, withKeys } from "./verdicts.js";

const STEPS = ["receiving", "deciding", "queued", "searching", "waiting", "answering"];

export function decisionPanel() {
  const steps = new Map(STEPS.map((name) => [name, h("li", {}, phase(name))]));
  byId("try-phases").replaceChildren(...steps.values());
  const verdicts = verdictTable(byId("try-verdicts"), "No verdict yet.");
  const chip = newChip("");
  const gauge = newGauge();
  byId("try-decision").replaceChildren(chip, h("span", { id: "try-why" }), gauge);
  const passed = new Set();

  const mark = (now) => {
    if (now) passed.add(now);
    for (const [name, node] of steps) {
      const state = name === now ? "now" : passed.has(name) ? "passed" : null;
      attribute(node, "data-state", state);
      attribute(node, "aria-current", state === "now" ? "step" : null);
    }
  };

  const update = (value) => {
    mark(value.phase);
    routeChip(chip, value.route);
    const by = value.tier ? `${value.label ?? ""} by ${value.tier}` : "not decided yet";
    put(byId("try-why"), value.backend ? `${by}; ${value.backend} answers` : by);
    drawGauge(gauge, value.p, value.threshold);
    verdicts.update(withKeys(value.verdicts));
    const notes = [
      ...(value.speculation ? [`speculation: ${words(value.speculation)}`] : []),
      ...value.attempts.map((text) => `attempt: ${text}`), ...value.notes,
    ];
    keyed(byId("try-notes"), notes.map((text, i) => ({ text, i })), (row) => row.i,
      () => h("li"), (node, row) => put(node, row.text));
    put(byId("try-age"), `Session ${value.id}, ${ms(value.age_ms)}`);
    show(byId("try-panel"), true);
    show(byId("try-panel-empty"), false);
  };

  const clear = () => {
    passed.clear();
    mark(null);
    byId("try-end").replaceChildren();
    show(byId("try-panel"), false);
    show(byId("try-panel-empty"), true);
  };

  return {
    clear,
    start: clear,
    update,
    // Args: value: the event `done`; told: what to say of it.
    done(value, told) {
      update(value);
      mark(null);
      const link = value.request_id
        ? requestLink(value.request_id, "See all of this request") : null;
      const times = `First token after ${ms(value.ttft_ms)}, all after ${ms(value.total_ms)}.`;
      byId("try-end").replaceChildren(
        h("p", {}, value.outcome === "ok" ? `${told} ${times}` : told),
        ...(link ? [h("p", {}, link)] : []));
    },
    end(told) {
      mark(null);
      byId("try-end").replaceChildren(h("p", {}, told));
    },
  };
}
