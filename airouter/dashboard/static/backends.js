// The backends as cards: state, slots, queue, and what the server says of itself.

import { attribute, byId, h, icon, keyed, parts, put, setIcon, show, style } from "./dom.js";
import { count, ms, percent, plural, seconds } from "./format.js";
import { words } from "./names.js";

const PIPS = 16; // up to so many slots are drawn one by one

export function onLive(live) {
  const { backends } = live;
  keyed(byId("backends"), backends, (backend) => backend.name, newCard, update);
  show(byId("backends-empty"), backends.length === 0);
}

function newCard(backend) {
  const card = h("li", { class: "card backend" });
  parts(card, () => {
    const made = {
      mark: icon("idle"), state: h("span", { class: "state" }), model: h("p", { class: "muted" }),
      pips: h("div", { class: "pips", "aria-hidden": "true" }),
      slots: h("div", { role: "meter", class: "meter", "aria-label": `${backend.name}: slots used`,
        "aria-valuemin": 0 }),
      used: h("p", { class: "used" }), facts: h("dl", { class: "facts" }),
    };
    card.append(
      h("div", { class: "card-head" }, h("h4", {}, backend.name),
        h("p", { class: "state-line" }, made.mark, made.state)),
      made.model, made.slots, made.used, made.facts,
    );
    made.slots.append(made.pips);
    return made;
  });
  return card;
}

function update(card, backend) {
  const { mark, state, model, pips, slots, used, facts } = parts(card);
  const level = backend.good === null ? "idle" : backend.good ? "good" : "bad";
  attribute(card, "data-level", level);
  setIcon(mark, level);
  put(state, backend.text);
  put(model, [backend.model, backend.local ? "local" : "cloud", backend.kind]
    .filter(Boolean).join(" · "));
  attribute(slots, "aria-valuemax", Math.max(1, backend.slots));
  attribute(slots, "aria-valuenow", Math.min(backend.in_use, backend.slots));
  attribute(slots, "aria-valuetext", `${backend.in_use} of ${backend.slots}`);
  drawSlots(pips, backend);
  put(used, `${count(backend.in_use)} of ${plural(backend.slots, "slot")} in use`
    + (backend.waiting ? `, ${count(backend.waiting)} waiting` : ", no queue"));
  keyed(facts, factsOf(backend), ([name]) => name, ([name]) => {
    const row = h("div");
    parts(row, () => {
      const value = h("dd");
      row.append(h("dt", {}, name), value);
      return { value };
    });
    return row;
  }, (row, [, value]) => put(parts(row).value, value));
}

function drawSlots(pips, backend) {
  const single = backend.slots <= PIPS;
  const shown = single
    ? Array.from({ length: backend.slots }, (_, i) => ({ key: i, used: i < backend.in_use }))
    : [{ key: "bar", used: true, share: backend.in_use / backend.slots }];
  attribute(pips, "data-bar", !single);
  keyed(pips, shown, (pip) => pip.key, () => h("span"), (node, pip) => {
    attribute(node, "class", pip.used ? "pip used" : "pip");
    style(node, "inline-size", pip.share === undefined ? "" : `${100 * pip.share}%`);
  });
}

function factsOf(backend) {
  const facts = [];
  const breaker = backend.breaker === "closed" ? "closed (normal)" : words(backend.breaker);
  facts.push(["Circuit breaker", backend.cause && backend.breaker !== "closed"
    ? `${breaker}: ${words(backend.cause)}` : breaker]);
  if (backend.retry_after_s) facts.push(["Next try in", seconds(backend.retry_after_s)]);
  if (backend.pause) {
    const left = backend.pause_left_s ? `, ${seconds(backend.pause_left_s)} left` : "";
    facts.push(["Paused", `${words(backend.pause)}${left}`]);
  }
  const { server } = backend;
  if (server) {
    facts.push(["Server runs", `${count(server.running)}, ${count(server.waiting)} waiting`]);
    if (server.hit_ratio !== null) facts.push(["Prefix cache hits", percent(server.hit_ratio)]);
  }
  if (backend.probe_ms !== null) facts.push(["Health check", ms(backend.probe_ms)]);
  return facts;
}
