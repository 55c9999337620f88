// Who answers now, the last errors and the last fallbacks, each with its reason.

import { attribute, byId, h, keyed, parts, put, show, style } from "./dom.js";
import { decimal, iso, ms, percent, plural, time, UNKNOWN, windowWords } from "./format.js";
import { requestLink, words } from "./names.js";

export function onHistory(history) {
  const within = windowWords(history.window_s);
  answering(history.answered_by, `Nobody has answered a request in ${within}.`);
  list("errors", history.errors, errorText, `No errors in ${within}.`);
  list("fallbacks", history.fallbacks, fallbackText,
    `No fallback in ${within}: each request took one attempt.`);
}

function answering(rows, empty) {
  const all = rows.reduce((sum, row) => sum + row.requests, 0);
  keyed(byId("answered-by"), rows, (row) => `${row.backend} ${row.model}`, newAnswering,
    (node, row) => {
      const { name, model, figures, bar } = parts(node);
      put(name, row.backend);
      put(model, [row.model, row.local ? "local" : "cloud"].filter(Boolean).join(", "));
      const { tokens_s: speed, ttft_ms: ttft } = row;
      put(figures, `${plural(row.requests, "request")} (${percent(row.requests / all)})`
        + (speed === null ? "" : `, ${decimal(speed)} tokens/s`)
        + (ttft ? `, TTFT p50 ${ms(ttft.p50)}, p95 ${ms(ttft.p95)}` : ""));
      style(bar, "inline-size", `${(100 * row.requests) / all}%`);
      attribute(bar, "class", row.local ? "share-bar local" : "share-bar cloud");
    });
  nothing("answered-by", rows, empty);
}

function newAnswering() {
  const node = h("li", { class: "answering" });
  parts(node, () => {
    const made = {
      name: h("strong"), model: h("span", { class: "muted" }), figures: h("span"),
      bar: h("span", { class: "share-bar" }),
    };
    node.append(
      h("span", { class: "line" }, made.name, " ", made.model),
      h("span", { class: "share", "aria-hidden": "true" }, made.bar), made.figures,
    );
    return made;
  });
  return node;
}

function list(id, rows, textOf, empty) {
  keyed(byId(id), rows, (row) => row.id, (row) => {
    const node = h("li", { class: "recent" });
    parts(node, () => ({ when: h("time"), text: h("span") }));
    node.append(parts(node).when, requestLink(row.id), parts(node).text);
    return node;
  }, (node, row) => {
    const { when, text } = parts(node);
    put(when, time(row.at));
    attribute(when, "datetime", iso(row.at));
    attribute(when, "title", iso(row.at));
    put(text, textOf(row));
  });
  nothing(id, rows, empty);
}

function nothing(id, rows, empty) {
  const note = byId(`${id}-empty`);
  put(note, empty);
  show(note, rows.length === 0);
  show(byId(id), rows.length > 0);
}

const errorText = (row) => `${row.text || words(row.reason)} (status ${row.status}, route `
  + `${row.route ?? UNKNOWN}${row.backend ? `, backend ${row.backend}` : ""})`;

const fallbackText = (row) => `${row.attempts.join(" → ")} (route ${row.route ?? UNKNOWN})`;
