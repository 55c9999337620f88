"""The page at / for a browser: what this is, how to connect to it, and who is up.

Anyone may read it, so it says nothing that /health does not say: no address of a backend, no key.
"""

import json
import shlex
from collections.abc import Mapping
from html import escape

from flask import Request, Response

from airouter import __version__
from airouter.dashboard.backends import state_of
from airouter.runtime.process import Runtime
from airouter.upstream.backend import Backend
from airouter.upstream.health import Health

_STYLE = """
:root { color-scheme: light dark; --ink: #1e293b; --dim: #64748b; --line: #cbd5e1; --box: #f1f5f9;
  --paper: #fff; --good: #15803d; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e8f0; --dim: #94a3b8; --line: #334155;
  --box: #1e293b; --paper: #0f172a; --good: #4ade80; --bad: #f87171; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; padding: 0 1rem; max-width: 50rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { margin-bottom: 0; } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
.dim { color: var(--dim); } a { color: inherit; }
.good { color: var(--good); } .bad { color: var(--bad); }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
pre { background: var(--box); padding: .75rem; border-radius: .4rem; white-space: pre-wrap; }
dl, table { width: 100%; margin: 0; } dl { display: grid; grid-template-columns: 6rem 1fr; }
dd { margin: 0; } table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
th { color: var(--dim); font-weight: normal; } tr { border-bottom: 1px solid var(--line); }
@media (max-width: 30rem) { .endpoints tr, .endpoints td { display: block; }
  .endpoints td { padding: 0; } .endpoints tr { padding: .4rem 0; } }
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # the page shows the current state of the backends
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


def prefers_html(request: Request) -> bool:
    """Whether the client is a browser; programs that accept anything get JSON."""
    accepted = request.accept_mimetypes
    html = accepted["text/html"]
    return "text/html" in accepted.values() and html >= accepted["application/json"]


def render(runtime: Runtime, host_url: str, endpoints: Mapping[str, str]) -> Response:
    """Render the page.

    Args:
        host_url: the router's URL as seen by the browser, with a trailing slash.
        endpoints: method and path -> description.
    """
    settings = runtime.state.settings
    base, locked = host_url.rstrip("/"), runtime.state.access.locked
    key = "your key" if locked else "not required; any value works"
    connect = "".join(
        f"<dt class=dim>{name}</dt><dd>{value}</dd>"
        for name, value in (
            ("Base URL", f"<code>{escape(base)}/v1</code>"),
            ("Model", f"<code>{escape(settings.virtual_model)}</code>"),
            ("Key", escape(key)),
        )
    )
    found = runtime.housekeeper.found
    backends = "".join(
        f"<tr><td>{escape(name)}</td><td>{'local' if backend.settings.local else 'cloud'}</td>"
        f"<td>{_shown(backend, found.get(name))}</td></tr>"
        for name, backend in runtime.state.backends.items()
    )
    listed = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(about)}</td></tr>"
        for name, about in endpoints.items()
    )
    draining = "<p class=bad>Draining: this server is being taken out of rotation.</p>"
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ai-router</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>ai-router</h1><p class=dim>Version {__version__}. An OpenAI-compatible API that "
        "routes each request to a local model or the cloud.</p>\n"
        f"{draining if runtime.draining else ''}"
        "<p><a href=/dashboard>Dashboard</a>: what the router decides and why, backends, past "
        "requests, error budgets.</p>\n"
        f"<h2>Connect</h2><dl>{connect}</dl>\n"
        f"<h2>Try it</h2><pre><code>{escape(_curl(base, settings.virtual_model, locked))}"
        "</code></pre>\n"
        "<h2>Backends</h2><table><tr><th>Name</th><th>Where</th><th>State</th></tr>"
        f"{backends}</table>\n"
        f"<h2>Endpoints</h2><table class=endpoints>{listed}</table>\n</body></html>\n"
    )
    return Response(page, 200, _HEADERS, content_type="text/html; charset=utf-8")


def _curl(base: str, model: str, locked: bool) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello!"}]})
    key = " -H 'Authorization: Bearer YOUR_API_KEY'" if locked else ""
    return (
        f"curl {shlex.quote(f'{base}/v1/chat/completions')}{key}"
        f" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )


def _shown(backend: Backend, probed: Health | None) -> str:
    _, good, text = state_of(backend, probed)
    return f"<span class={'good' if good else 'dim' if good is None else 'bad'}>{text}</span>"
