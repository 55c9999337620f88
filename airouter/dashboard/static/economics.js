// What speculation, instant decisions and local answers saved, and what the cloud cost.

import { byId, put } from "./dom.js";
import { count, money, ms, percent, plural, seconds, UNKNOWN, windowWords } from "./format.js";

export function onHistory({ economics, overview, window_s: windowS }) {
  const { speculation, instant, cloud } = economics;
  put(byId("economics-window"), `In ${windowWords(windowS)}.`);
  const started = speculation.won + speculation.cancelled + speculation.failed;
  figure("speculation", seconds(speculation.saved_s), started
    ? `${count(speculation.won)} of ${plural(started, "early start")} used `
      + `(${percent(speculation.won / started)})`
    : "no answer was started early");
  figure("instant", seconds(instant.saved_s), instant.decisions === 0
    ? "no instant decision" : instant.compared_with_ms === null
      ? `${plural(instant.decisions, "instant decision")}; no decision by a model to compare with`
      : `${plural(instant.decisions, "instant decision")} instead of `
        + `${ms(instant.compared_with_ms)} each`);
  figure("wasted", count(speculation.tokens_wasted), overview.tokens_out
    ? `tokens, ${percent(speculation.tokens_wasted / overview.tokens_out)} of those delivered`
    : "tokens");
  figure("avoided", count(cloud.avoided), cloud.avoided_cost === null
    ? "answered locally" : `answered locally, ${money(cloud.avoided_cost, cloud.currency)} saved`);
  figure("paid", count(cloud.paid), cloud.searches
    ? `and ${plural(cloud.searches, "web search", "web searches")}` : "and no web search");
  figure("cost", money(cloud.cost, cloud.currency), cloud.cost === null
    ? "set prices to see the cost" : "for cloud calls");
}

function figure(name, value, below) {
  const node = byId(`saved-${name}`);
  put(node.querySelector("[data-value]"), value || UNKNOWN);
  put(node.querySelector("[data-below]"), below);
}
