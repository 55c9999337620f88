// One sentence that says whether users are well, and why not: the worst that is known comes first.

import { count, ms, percent, plural, windowWords } from "./format.js";

const WORTH_ALARM = 0.05; // share of failed requests that is bad, not only worth a look

// Args: state: the last `live`, `history` and `objectives`, each null before it came.
// Returns { level: "good" | "warn" | "bad" | "idle", sentence, more }.
export function judge({ live, history, objectives }) {
  if (!live && !history) return { level: "idle", sentence: "Connecting …", more: "" };
  const found = [
    ...ofRouter(live), ...ofRequests(history), ...ofBackends(live, history),
    ...ofObjectives(objectives),
  ].sort((a, b) => RANK[a.level] - RANK[b.level]);
  if (found.length) {
    const [first, ...others] = found;
    return { ...first, more: others.map((other) => `${other.sentence}.`).join(" ") };
  }
  if (history && history.overview.requests === 0) return quiet(live, history);
  return { level: "good", sentence: "Users are well", more: history ? detail(history) : "" };
}

const RANK = { bad: 0, warn: 1, idle: 2 };

function ofRouter(live) {
  if (!live?.draining) return [];
  const sentence = "The router is shutting down: it finishes what is under way and takes no more";
  return [{ level: "warn", sentence }];
}

function ofRequests(history) {
  if (history?.problem) return [{ level: "idle", sentence: history.problem.replace(/\.$/, "") }];
  if (!history?.overview.failed) return [];
  const { failed, requests } = history.overview;
  const level = failed / requests >= WORTH_ALARM ? "bad" : "warn";
  const within = windowWords(history.window_s);
  return [{
    level, sentence: `${count(failed)} of ${plural(requests, "request")} failed in ${within}`,
  }];
}

function ofBackends(live, history) {
  const backends = live?.backends ?? [];
  const broken = backends.filter((backend) => backend.good === false);
  if (!broken.length) return [];
  const names = broken.map((backend) => backend.name).join(" and ");
  const verb = broken.length === 1 ? "is" : "are";
  const gone = ({ state, breaker }) => state === "down" || breaker === "open";
  const what = broken.every(gone) ? "down" : "degraded";
  if (broken.length === backends.length) {
    const all = broken.length === 1 ? `${names}, the only backend, is` : `All backends are`;
    return [{ level: "bad", sentence: `${all} ${what}: requests will fail` }];
  }
  const others = backends.filter((backend) => backend.good !== false).map(({ name }) => name);
  const seen = new Set((history?.answered_by ?? []).map(({ backend }) => backend));
  const answering = others.filter((name) => seen.has(name));
  const rest = (answering.length ? answering : others).join(" and ");
  const answers = (answering.length || others.length) === 1 ? "answers" : "answer";
  const sentence = answering.length ? `${names} ${verb} ${what}; ${rest} ${answers}`
    : `${names} ${verb} ${what}`;
  return [{ level: "warn", sentence }];
}

function ofObjectives(objectives) {
  const firing = (objectives?.alerts ?? []).filter(({ state }) => state === "firing");
  if (!firing.length) return [];
  const worst = firing.find(({ severity }) => severity === "critical") ?? firing[0];
  const more = firing.length > 1 ? ` and ${plural(firing.length - 1, "more alert")}` : "";
  const level = worst.severity === "critical" ? "bad" : worst.severity === "info" ? "idle" : "warn";
  return [{ level, sentence: `Alert firing: ${worst.name}${more}` }];
}

function quiet(live, history) {
  const address = `${location.origin}/v1/chat/completions`;
  const json = "Content-Type: application/json";
  const body = '{"messages": [{"role": "user", "content": "Hello"}]}';
  if (live?.in_flight_total) {
    return { level: "idle", sentence: "The first request is under way", more: "" };
  }
  const sentence = history.window_s === 900
    ? "No requests yet: try one below, or send one with curl"
    : `No requests in ${windowWords(history.window_s)}`;
  return { level: "idle", sentence, more: `curl ${address} -H '${json}' -d '${body}'` };
}

function detail({ overview: o, window_s: s }) {
  const speed = o.ttft_ms ? `; half see the first words within ${ms(o.ttft_ms.p50)}, `
    + `95 % within ${ms(o.ttft_ms.p95)}` : "";
  const gone = o.client_gone
    ? `; ${percent(o.client_gone / o.requests)} of clients left early` : "";
  return `None of ${plural(o.requests, "request")} in ${windowWords(s)} failed${speed}${gone}.`;
}
