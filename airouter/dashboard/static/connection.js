// The stream of events, kept open while the tab is seen: browsers allow six connections to one
// address, so twenty tabs that all kept theirs would block each other.

const QUIET_MS = 8000; // `live` comes each second
const HIDDEN_MS = 5000; // how long a tab stays connected after it was left
const RETRY_MS = [1000, 2000, 5000, 10000];

// Args:
//   handlers: { live, history, objectives }, called with the parsed data.
//   onState: called with "live", "reconnecting", "paused" or "signed out".
// Returns { window(s) } to choose another time window, in seconds.
export function connect(handlers, onState, windowS) {
  let source = null;
  let chosen = windowS;
  let heard = 0;
  let tries = 0;
  let retry = 0;
  let leaving = 0;
  let over = false;

  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  const open = () => {
    if (over) return;
    close();
    heard = Date.now();
    const opened = new EventSource(`/dashboard/events?window=${chosen}`);
    source = opened;
    for (const [name, handle] of Object.entries(handlers)) {
      opened.addEventListener(name, (event) => {
        if (opened !== source) return;
        heard = Date.now();
        tries = 0;
        onState("live");
        handle(JSON.parse(event.data));
      });
    }
    opened.addEventListener("error", () => {
      if (opened !== source) return;
      onState("reconnecting");
      if (opened.readyState === EventSource.CLOSED) again(); // the server answered an error
    });
  };

  const again = async () => {
    close();
    if (await signedOut()) {
      over = true;
      onState("signed out");
      return;
    }
    clearTimeout(retry);
    retry = setTimeout(open, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
    tries += 1;
  };

  setInterval(() => {
    if (!source || document.hidden || Date.now() - heard < QUIET_MS) return;
    onState("reconnecting");
    heard = Date.now();
    again();
  }, 2000);

  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) {
      leaving = setTimeout(() => {
        close();
        if (!over) onState("paused");
      }, HIDDEN_MS);
    } else if (!source) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());

  open();
  return {
    window(s) {
      chosen = s;
      open();
    },
  };
}

// An EventSource does not tell the status it was answered with.
async function signedOut() {
  try {
    const response = await fetch("/dashboard/requests?window=900&id=none");
    return response.redirected || response.status === 401 || response.status === 403;
  } catch {
    return false;
  }
}

// What the server answers as JSON. Throws an Error with its sentence where it answers an error.
export async function getJson(path) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Error("The router cannot be reached; try again in a moment.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Error(answer?.error?.message ?? `The router answered with status ${response.status}.`);
}
