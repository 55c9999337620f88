// One request in a dialog: what happened when, what each tier said, and its messages.

import { byId, h, put, show } from "./dom.js";
import { count, iso, ms, probability, time, UNKNOWN } from "./format.js";
import { getJson } from "./connection.js";
import { words } from "./names.js";
import { drawTimeline } from "./timeline.js";
import { verdictTable, withKeys } from "./verdicts.js";

const PREFIX = "#request=";

// Opens for an address that ends in #request=<id>, whoever changed it.
export function drilldown() {
  const dialog = byId("request");
  const verdicts = verdictTable(byId("request-verdicts"), "No verdicts were recorded.");
  let shown = "";

  const follow = () => {
    const id = idInAddress();
    if (id) open(id);
    else if (dialog.open) dialog.close();
  };

  const open = async (id) => {
    shown = id;
    put(byId("request-title"), `Request ${id.slice(0, 8)}`);
    say("Loading …");
    show(byId("request-body"), false);
    if (!dialog.open) dialog.showModal();
    let answer;
    try {
      answer = await getJson(`/dashboard/requests/${encodeURIComponent(id)}`);
    } catch (error) {
      if (shown === id) say(error.message);
      return;
    }
    if (shown !== id) return;
    say("");
    fill(answer, verdicts);
    show(byId("request-body"), true);
  };

  dialog.addEventListener("close", () => {
    shown = "";
    if (idInAddress()) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  byId("request-close").addEventListener("click", () => dialog.close());
  addEventListener("hashchange", follow);
  follow();
}

function idInAddress() {
  if (!location.hash.startsWith(PREFIX)) return "";
  try {
    return decodeURIComponent(location.hash.slice(PREFIX.length));
  } catch {
    return "";
  }
}

function say(text) {
  put(byId("request-note"), text);
  show(byId("request-note"), text !== "");
}

function fill(answer, verdicts) {
  const { request } = answer;
  put(byId("request-title"), `Request ${request.id.slice(0, 8)}`);
  facts(byId("request-facts"), answer.facts);
  facts(byId("request-numbers"), numbers(request));
  const timeline = answer.timeline.map((entry, i) => ({ ...entry, key: i }));
  drawTimeline(byId("request-timeline"), timeline, request.total_ms);
  show(byId("request-timeline-empty"), timeline.length === 0);
  verdicts.update(withKeys(answer.verdicts), answer.file ? "" : answer.file_hint);
  put(byId("request-file"), answer.file ? "" : answer.file_hint);
  show(byId("request-file"), !answer.file && answer.file_hint !== "");
  const messages = answer.messages.map((message, i) => ({ ...message, key: i }));
  byId("request-messages").replaceChildren(...messages.map(newMessage));
  show(byId("request-messages"), messages.length > 0);
  const hint = answer.content === "shown"
    ? (messages.length ? "" : "No messages were kept.") : answer.content_hint;
  put(byId("request-content"), hint);
  show(byId("request-content"), hint !== "");
}

function numbers(r) {
  const tokens = `${count(r.tokens_in)} in (${count(r.tokens_cached)} cached), `
    + `${count(r.tokens_out)} out`;
  const all = [
    ["finished", `${time(r.at)} (${iso(r.at)})`],
    ["id", r.id],
    ["trace", r.trace_id],
    ["endpoint", `${r.endpoint}${r.stream ? ", streamed" : ""}`],
    ["route", `${r.route ?? UNKNOWN}${r.label ? ` (${r.label})` : ""}`],
    ["decided by", r.tier && r.tier + (known(r.p) ? `, p ${probability(r.p)}` : "")],
    ["outcome", `${words(r.outcome)}: ${words(r.reason)} (${r.status})`],
    ["tokens", r.tokens_in === null && r.tokens_out === null ? null : tokens],
    ["tokens wasted", r.tokens_wasted && count(r.tokens_wasted)],
    ["speculation", r.speculation && words(r.speculation)],
    ["router’s own time", known(r.own_ms) && ms(r.own_ms)],
    ["longest gap", known(r.gap_ms) && ms(r.gap_ms)],
    ["in flight then", known(r.in_flight) && count(r.in_flight)],
  ];
  return all.filter(([, value]) => value);
}

const known = (value) => typeof value === "number";

const facts = (list, rows) => list.replaceChildren(...rows.map(([name, value]) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));

function newMessage({ role, text, more }) {
  return h("li", { class: `message ${role === "user" ? "user" : "other"}` },
    h("strong", {}, role), h("div", { class: "text" }, text),
    more ? h("p", { class: "muted" }, `${count(more)} more characters are left out.`) : null);
}
