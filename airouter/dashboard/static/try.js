// Try it: a chat whose answer streams beside what the router does meanwhile.

import { attribute, byId, h, put, show } from "./dom.js";
import { events } from "./sse.js";
import { decisionPanel } from "./decision.js";

const MOST_MESSAGES = 40; // older ones are left out of the conversation

export function tryIt() {
  const form = byId("try-form");
  const prompt = byId("try-prompt");
  const log = byId("try-log");
  const panel = decisionPanel();
  let messages = [];
  let running = null;

  const busy = (abort) => {
    running = abort;
    attribute(byId("try-send"), "disabled", abort !== null);
    attribute(byId("try-stop"), "disabled", abort === null);
    attribute(log, "aria-busy", String(abort !== null));
  };

  const add = (role, text) => {
    const node = h("div", { class: "text" }, text);
    log.append(h("li", { class: `message ${role}` },
      h("strong", {}, role === "user" ? "you" : "router"), node));
    while (log.children.length > MOST_MESSAGES) log.firstElementChild.remove();
    show(byId("try-empty"), false);
    show(log, true);
    log.scrollTop = log.scrollHeight;
    return node;
  };

  const send = async () => {
    const text = prompt.value.trim();
    if (!text || running) return;
    prompt.value = "";
    messages.push({ role: "user", content: text });
    messages = messages.slice(-MOST_MESSAGES);
    add("user", text);
    const answer = add("assistant", "");
    const abort = new AbortController();
    busy(abort);
    panel.start();
    put(byId("try-status"), "Asking …");
    let told = "";
    try {
      const response = await fetch("/dashboard/try", {
        method: "POST",
        signal: abort.signal,
        headers: {
          "Content-Type": "application/json",
          "X-CSRF-Token": document.querySelector("meta[name=csrf]").content,
        },
        body: JSON.stringify({
          messages, route: byId("try-route").value, max_tokens: Number(byId("try-tokens").value),
        }),
      });
      if (!response.ok) throw new Error(await reasonOf(response));
      told = await read(response, answer, log, panel);
    } catch (error) {
      told = abort.signal.aborted ? "Stopped." : error.message || "The connection broke off.";
      panel.end(told);
      problem(answer, told);
    } finally {
      busy(null);
      put(byId("try-status"), told);
    }
    const content = answer.firstChild?.nodeType === Node.TEXT_NODE ? answer.firstChild.data : "";
    if (content) messages.push({ role: "assistant", content });
    else messages.pop(); // unanswered: it is not part of the conversation
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      send();
    }
  });
  byId("try-stop").addEventListener("click", () => running?.abort());
  byId("try-new").addEventListener("click", () => {
    running?.abort();
    messages = [];
    log.replaceChildren();
    show(log, false);
    show(byId("try-empty"), true);
    panel.clear();
    put(byId("try-status"), "");
    prompt.focus();
  });
}

// Returns what to say at the end.
async function read(response, answer, log, panel) {
  let told = "The answer broke off.";
  for await (const { event, data } of events(response)) {
    if (data === "[DONE]") continue;
    const value = JSON.parse(data);
    if (event === "router") panel.update(value);
    else if (event === "problem") {
      told = `${value.message} (${value.status})`;
      problem(answer, told);
    } else if (event === "done") {
      if (value.outcome === "ok") told = `Answered by ${value.backend}.`;
      panel.done(value, told);
    } else if (event === "message") {
      const piece = value.choices?.[0]?.delta?.content;
      if (piece) append(answer, piece, log);
      else if (value.error) problem(answer, value.error.message);
    }
  }
  return told;
}

function append(answer, piece, log) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const node = answer.firstChild;
  if (node?.nodeType === Node.TEXT_NODE) node.appendData(piece);
  else answer.prepend(piece);
  if (follows) log.scrollTop = log.scrollHeight;
}

const problem = (answer, text) => answer.append(h("p", { class: "problem" }, text));

async function reasonOf(response) {
  const answer = await response.json().catch(() => null);
  if (answer?.error?.message) return answer.error.message;
  if (response.status === 401 || response.status === 403) return "Signed out: sign in again.";
  return `The router answered with status ${response.status}.`;
}
