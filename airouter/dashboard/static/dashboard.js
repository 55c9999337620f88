// Connects the stream of events to the sections of the page.

import { attribute, byId, put, show } from "./dom.js";
import { connect } from "./connection.js";
import { drilldown } from "./drilldown.js";
import { requestsSection } from "./requests.js";
import { tryIt } from "./try.js";
import * as backends from "./backends.js";
import * as economics from "./economics.js";
import * as inflight from "./inflight.js";
import * as mapper from "./mapper.js";
import * as objectives from "./objectives.js";
import * as overview from "./overview.js";
import * as recent from "./recent.js";
import * as traffic from "./traffic.js";

const chosen = byId("window");
const windowOf = () => Number(chosen.value);
const requests = requestsSection(windowOf);

const STATES = {
  live: "live",
  reconnecting: "reconnecting …",
  paused: "paused",
  "signed out": "signed out",
};
let state = "";

function onState(now) {
  if (now === state) return;
  state = now;
  put(byId("connection"), STATES[now]);
  attribute(byId("connection"), "data-state", now.replace(" ", "-"));
  show(byId("signed-out"), now === "signed out");
}

const connection = connect({
  live: (live) => {
    for (const section of [overview, inflight, backends, mapper, requests]) section.onLive(live);
  },
  history: (history) => {
    const sections = [overview, recent, traffic, economics, requests];
    for (const section of sections) section.onHistory(history);
  },
  objectives: (answer) => {
    for (const section of [overview, objectives]) section.onObjectives(answer);
  },
}, onState, windowOf());

chosen.addEventListener("change", () => {
  connection.window(windowOf());
  requests.reload();
});

requests.reload();
drilldown();
tryIt();
