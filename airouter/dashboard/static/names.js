// The words and colours for routes, tiers, phases and outcomes, the same everywhere on the page.

import { attribute, h, put } from "./dom.js";
import { UNKNOWN } from "./format.js";

export const TIERS = [
  "rules", "cache", "learned", "tuned", "encoder", "decision_model", "one_token", "reasoning",
];
const ROUTES = ["primary", "xai", "enrich", "meta"];

const PHASES = {
  receiving: "receiving",
  deciding: "deciding",
  queued: "waiting for a slot",
  searching: "searching the web",
  waiting: "waiting for the model",
  answering: "answering",
};

export const words = (name) => (name ? String(name).replaceAll("_", " ") : UNKNOWN);
export const phase = (name) => PHASES[name] ?? words(name);

// The CSS variable with the colour of a route or a tier; others are grey.
export const routeColour = (name) => (ROUTES.includes(name) ? `--route-${name}` : "--route-none");
export const tierColour = (name) =>
  TIERS.includes(name) ? `--tier-${TIERS.indexOf(name) + 1}` : "--route-none";

// Known names first, in their own order, then the others.
export const inOrder = (names, kind) => {
  const order = kind === "tier" ? TIERS : ROUTES;
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...names].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
};

// A colour variable as a canvas understands it, in the theme that is shown.
export function cssColour(variable) {
  if (!colours.has(variable)) {
    const probe = h("span");
    probe.style.color = `var(${variable})`;
    document.body.append(probe);
    colours.set(variable, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(variable);
}

const colours = new Map();
document.addEventListener("themechange", () => colours.clear());

// A route's name with its colour before it, inside `node`.
export function routeChip(node, name) {
  const known = ROUTES.includes(name) ? name : "none";
  attribute(node, "class", `chip route-${known}`);
  put(node, name || UNKNOWN);
}

export const newChip = (name) => {
  const node = h("span");
  routeChip(node, name);
  return node;
};

// How an outcome is to be seen: good, warn (the client's doing) or bad.
export function outcomeState(outcome) {
  if (outcome === "ok") return "good";
  return outcome === "client_gone" || outcome === "client_error" ? "warn" : "bad";
}

const SLICE = 8; // characters of an id that are shown, as in logs and file names
export const requestLink = (id, text) =>
  h("a", { href: `#request=${encodeURIComponent(id)}`, class: "id" }, text ?? id.slice(0, SLICE));
