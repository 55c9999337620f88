"""The OpenAPI document as a page, in plain HTML."""

from collections.abc import Iterator
from html import escape
from typing import Any

import orjson

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}pre,code{font-family:ui-monospace,monospace;font-size:.9em}"
    "pre{overflow:auto;border:1px solid #8886;border-radius:6px;padding:.75rem}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
)


def page(document: dict[str, Any]) -> str:
    """The page: every operation, then every schema."""
    info = document["info"]
    schemas = document["components"]["schemas"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        '<p>For programs: <a href="/map/openapi.json">openapi.json</a></p>',
        *(
            text
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            for text in _operation(path, method, operation)
        ),
        "<h2>Schemas</h2>",
        *(text for name, schema in schemas.items() for text in _schema(name, schema)),
        "</body></html>",
    ]
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation['summary'])}.</p>"
    if body := operation.get("requestBody"):
        yield f"<p>Body: {_named(body)}</p>"
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>Header</th><th>Meaning</th></tr>"
        for one in parameters:
            name, meaning = escape(one["name"]), escape(one["description"])
            yield f"<tr><td><code>{name}</code></td><td>{meaning}</td></tr>"
        yield "</table>"
    yield "<table><tr><th>Status</th><th>Body</th><th>Meaning</th></tr>"
    for status, answer in operation["responses"].items():
        meaning = escape(answer["description"])
        yield f"<tr><td>{status}</td><td>{_named(answer)}</td><td>{meaning}</td></tr>"
    yield "</table>"


def _named(holder: dict[str, Any]) -> str:
    """A link to the schema of a body; its content type if it has none."""
    kind, content = next(iter(holder["content"].items()))
    if "schema" not in content:
        return f"<code>{escape(kind)}</code>"
    name = escape(content["schema"]["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
    yield f"<pre>{escape(text)}</pre>"
