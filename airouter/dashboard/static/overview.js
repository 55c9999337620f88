// The top of the page: how users are, in words and six figures.

import { attribute, byId, h, icon, parts, put, setIcon, show } from "./dom.js";
import { count, decimal, ms, percent, plural, windowWords } from "./format.js";
import { newSpark } from "./spark.js";
import { judge } from "./wellbeing.js";

const state = { live: null, history: null, objectives: null };
let announced = "";

export function onLive(live) {
  state.live = live;
  headline();
  const working = live.in_flight_total;
  const by = (phase) => live.in_flight.filter((r) => r.phase === phase).length;
  const waiting = live.backends.reduce((sum, backend) => sum + backend.waiting, 0);
  tile("in-flight", count(working), working === 0 ? "nothing under way"
    : `${by("answering")} answering, ${waiting} waiting for a slot`);
}

export function onObjectives(objectives) {
  state.objectives = objectives;
  headline();
}

export function onHistory(history) {
  state.history = history;
  headline();
  const { overview: o, series } = history;
  const within = `in ${windowWords(history.window_s)}`;
  tile("rate", decimal(o.per_minute), `${plural(o.requests, "request")} ${within}`);
  tile("failed", count(o.failed),
    o.requests === 0 ? "no requests" : `${percent(o.failed / o.requests)} of requests`
      + (o.client_gone ? `; ${plural(o.client_gone, "client")} left` : ""),
    o.failed > 0 ? "bad" : null);
  tile("ttft", ms(o.ttft_ms?.p50), o.ttft_ms
    ? `p95 ${ms(o.ttft_ms.p95)}, p99 ${ms(o.ttft_ms.p99)}` : "no answer yet");
  tile("cloud", percent(o.cloud_share),
    `${plural(o.cloud, "request")} answered by a cloud model`);
  tile("fallbacks", count(o.failovers),
    o.failovers ? "took more than one attempt" : "each took one attempt",
    o.failovers > 0 ? "warn" : null);
  spark("rate", series.requests);
  spark("failed", series.failed);
  spark("ttft", series.ttft_ms.p50);
}

function headline() {
  const { level, sentence, more } = judge(state);
  const box = byId("headline");
  const { mark, title, rest } = parts(box, () => {
    const made = { mark: icon("idle"), title: h("p", { class: "sentence" }), rest: h("p") };
    box.replaceChildren(made.mark, h("div", {}, made.title, made.rest));
    return made;
  });
  attribute(box, "data-level", level);
  setIcon(mark, level);
  put(title, sentence);
  put(rest, more);
  show(rest, more !== "");
  attribute(rest, "class", more.startsWith("curl ") ? "command" : null);
  const kind = sentence.replaceAll(/[\d,.]+/g, ""); // not each time that a number changes
  if (kind !== announced) put(byId("announced"), sentence);
  announced = kind;
}

export function tile(name, value, below, level) {
  const node = byId(`tile-${name}`);
  put(node.querySelector("[data-value]"), value);
  put(node.querySelector("[data-below]"), below);
  attribute(node, "data-level", level);
}

function spark(name, values) {
  const holder = byId(`tile-${name}`).querySelector("[data-spark]");
  parts(holder, () => newSpark(holder)).update(values);
}
