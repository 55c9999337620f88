// The table of finished requests with its filters.

import { attribute, byId, h, icon, parts, put, setIcon, show } from "./dom.js";
import { count, iso, ms, probability, time, UNKNOWN } from "./format.js";
import { getJson } from "./connection.js";
import {
  inOrder, newChip, outcomeState, requestLink, routeChip, TIERS, words,
} from "./names.js";
import { makeTable } from "./table.js";

const EVERY_MS = 5000; // how often the newest page is read again, at most

const columns = [
  { head: "Request", rowHead: true, fill: idCell },
  { head: "Time", half: true, fill: timeCell },
  { head: "Route", fill: routeCell },
  { head: "Tier", text: (row) => row.tier ?? UNKNOWN,
    title: (row) => row.label && `${row.label}, p ${probability(row.p)}` },
  { head: "Backend", fill: backendCell },
  { head: "Outcome", half: true, fill: outcomeCell },
  { head: "TTFT", number: true, text: (row) => ms(row.ttft_ms) },
  { head: "Total", number: true, text: (row) => ms(row.total_ms) },
  { head: "Decision", number: true, text: (row) => ms(row.classification_ms) },
  { head: "Tokens in/out", number: true, text: (row) =>
    row.tokens_in === null && row.tokens_out === null ? UNKNOWN
      : `${count(row.tokens_in)} / ${count(row.tokens_out)}` },
  { head: "Speculation", text: (row) => words(row.speculation) },
];

// Args: windowOf: returns the chosen time window, in seconds.
// Returns { reload(), onHistory(history) }.
export function requestsSection(windowOf) {
  const form = byId("filters");
  const older = byId("older");
  const newest = byId("newest");
  let before = null;
  let next = null;
  let asked = 0;
  let seen = "";
  let readAt = 0;
  const table = makeTable(byId("requests-table"), {
    caption: "Requests, newest first", columns, keyOf: (row) => row.id,
    empty: "No request matches. Widen the time window or clear the filters.",
    onOpen: (row) => { location.hash = `request=${row.id}`; },
  });

  const load = async () => {
    const mine = ++asked;
    readAt = Date.now();
    const query = new URLSearchParams({ window: windowOf() });
    for (const [name, value] of new FormData(form)) if (value.trim()) query.set(name, value.trim());
    if (before) query.set("before", before);
    let answer;
    try {
      answer = await getJson(`/dashboard/requests?${query}`);
    } catch (error) {
      answer = { requests: [], next: null, problem: error.message };
    }
    if (mine !== asked) return;
    next = answer.next;
    table.update(answer.requests, answer.problem);
    attribute(older, "disabled", !next);
    attribute(newest, "disabled", !before);
    put(byId("requests-note"), answer.problem && answer.requests.length ? answer.problem
      : answer.requests.length ? `${count(answer.requests.length)} requests, `
        + `${before ? "older ones" : "newest first"}.` : "");
  };

  const reload = () => {
    before = null;
    return load();
  };
  let typing = 0;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    reload();
  });
  form.addEventListener("change", reload);
  form.addEventListener("input", (event) => {
    if (event.target.tagName !== "INPUT") return;
    clearTimeout(typing);
    typing = setTimeout(reload, 400);
  });
  form.addEventListener("reset", () => setTimeout(reload));
  older.addEventListener("click", () => {
    before = next;
    load();
  });
  newest.addEventListener("click", reload);

  return {
    reload,
    onLive: ({ backends }) => offer("filter-backend", backends.map(({ name }) => name)),
    // Follow new requests on the newest page, and only there.
    onHistory({ overview, tiers, window_s: s }) {
      offer("filter-tier", inOrder([...new Set([...TIERS, ...tiers.map((row) => row.tier)])],
        "tier"));
      const now = `${s} ${overview.requests} ${overview.failed} ${overview.client_gone}`;
      if (now === seen || before || document.hidden || Date.now() - readAt < EVERY_MS) return;
      if (!byId("follow").checked) return;
      seen = now;
      load();
    },
  };
}

// Add what a select does not offer yet; nothing is taken away, as it may be chosen.
function offer(id, names) {
  const select = byId(id);
  const there = new Set([...select.options].map((option) => option.value));
  for (const name of names) {
    if (name && !there.has(name)) select.append(h("option", { value: name }, words(name)));
  }
}

function idCell(cell, row) {
  parts(cell, () => {
    const link = requestLink(row.id);
    cell.append(link);
    return { link };
  });
  attribute(cell, "title", `${row.id}, ${row.endpoint}${row.stream ? ", streamed" : ""}`);
}

function timeCell(cell, row) {
  const { node } = parts(cell, () => {
    const node = h("time");
    cell.append(node);
    return { node };
  });
  put(node, time(row.at));
  attribute(node, "datetime", iso(row.at));
  attribute(node, "title", iso(row.at));
}

function routeCell(cell, row) {
  const { chip, asked } = parts(cell, () => {
    const made = { chip: newChip(""), asked: h("span", { class: "tag" }, "requested") };
    cell.append(made.chip, " ", made.asked);
    return made;
  });
  routeChip(chip, row.route);
  const forced = row.requested_route && row.requested_route !== "auto";
  show(asked, Boolean(forced));
  attribute(asked, "title", forced ? `the client asked for ${row.requested_route}` : null);
}

function backendCell(cell, row) {
  const tries = row.attempts > 1 ? ` (${row.attempts} attempts)` : "";
  put(cell, `${row.backend ?? UNKNOWN}${tries}`);
  attribute(cell, "title", row.model);
}

function outcomeCell(cell, row) {
  const { mark, text } = parts(cell, () => {
    const made = { mark: icon("idle"), text: h("span") };
    cell.append(h("span", { class: "state-line" }, made.mark, made.text));
    return made;
  });
  const level = outcomeState(row.outcome);
  setIcon(mark, level);
  attribute(cell.firstElementChild, "data-level", level);
  put(text, row.outcome === "ok" ? "ok" : words(row.outcome));
  attribute(cell, "title", `${words(row.reason)}, status ${row.status}`);
}
