"""Writes a configuration file for the model servers that were discovered, with comments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from airouter.discover.listed_models import Model
from airouter.discover.servers import ModelServer

_SMALL = (
    9.0  # billions of parameters of a classifier, at most, unless the primary is twice as large
)
_LEAST = 1.0  # smaller ones classify worse
_MOST_LISTED = 12  # models of one server, in comments
_SHORTENED = 100  # columns
_LOADING = 180  # seconds to the first token, with loading a model from disk
_CLOUD = """\
  # A cloud for hard problems and web search; prompts of these are then sent to a third party. To
  # use it, remove "#~ " in this file, delete the lines marked "without the cloud", and set
  # XAI_API_KEY.
  #~ xai:
  #~   kind: xai
  #~   url: https://api.x.ai
  #~   model: grok-4-1-fast-reasoning
  #~   api_key: ${XAI_API_KEY}
  #~   local: false
  #~   slots: 64
  #~   min_max_tokens: 16384
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A model for a backend. `model`: None for the first that the server lists."""

    server: ModelServer
    model: Model | None

    @property
    def weight(self) -> float:
        return self.model.weight if self.model else 0.0


def choose(servers: Sequence[ModelServer]) -> dict[str, Chosen]:
    """The backends by name: `primary`, the largest chat model; `router`, a small one, if there are
    two; `embedding`; and one for each further server with a chat model. Without `primary`, no
    server answers chats."""
    chats = [Chosen(server, model) for server in servers for model in server.with_use("chat")]
    # A server that wants a key lists no models: it is used only where there is no other.
    keyed = [Chosen(server, None) for server in servers if server.wants_key and server.product]
    chats = chats or keyed
    chosen: dict[str, Chosen] = {}
    if chats:
        # max() and min() take the first of equals. vLLM first: the router can use most of it.
        chats.sort(key=lambda each: each.server.kind != "vllm")
        primary = chosen["primary"] = max(chats, key=lambda each: each.weight)
        small = [
            each
            for each in chats
            if each.model and primary.model and each.model.name != primary.model.name
            and each.weight <= max(_SMALL, primary.weight / 2)
        ]  # fmt: skip
        if small:
            chosen["router"] = min(small, key=lambda each: (each.weight < _LEAST, each.weight))
    embeds = [
        Chosen(server, model) for server in servers for model in server.with_use("embeddings")
    ]
    if embeds and chosen:
        chosen["embedding"] = embeds[0]
    for server in servers:
        best = max(
            (each for each in chats if each.server is server),
            key=lambda each: each.weight,
            default=None,
        )
        if best and server not in [each.server for each in chosen.values()]:
            port = server.url.rpartition(":")[2]
            name = re.sub(r"[^a-z]", "", server.product.lower()) or "server"
            chosen[f"{name}-{port}"] = best
    return chosen


def write(servers: Sequence[ModelServer], chosen: dict[str, Chosen]) -> str:
    """The configuration, which `check-config` accepts.

    Args:
        chosen: what `choose()` has returned, with a primary.
    """
    head = [
        "# Written by `python -m airouter discover`; docs/configuration.md documents all settings.",
        "# Next: `python -m airouter check-config`, then `python -m airouter doctor`, which asks",
        "# the models what they can do. PRIMARY_URL, ROUTER_URL and the other variables of the",
        "# router take precedence over this file.",
        "",
        "# Found:",
    ]
    for server in servers:
        head += _found(server)
    lines = [*head, "", "backends:"]
    for name, backend in chosen.items():
        lines += _backend(name, backend)
    lines += _CLOUD.rstrip().splitlines()
    others = [name for name in chosen if name not in ("router", "primary", "embedding")]
    lines += _routes(["primary", *others], chosen)
    return "\n".join(lines) + "\n"


def _found(server: ModelServer) -> list[str]:
    """A server and its models, as comments."""
    lines = [f"# {server.url}: {server.title}"]
    if server.wants_key:
        lines[0] += ", which wants a key"
    for model in server.models[:_MOST_LISTED]:
        facts = [
            f"{model.billions:.3g} billion parameters" if model.billions else "",
            f"window {model.window:,} tokens" if model.window else "",
            {"chat": "", "embeddings": "embeddings", "other": "neither chat nor embeddings"}[
                model.use
            ],
            ", ".join(model.abilities),
            "run by a third party, not used" if model.remote else "",
        ]
        lines.append(_short(f"#   {model.name}: {'; '.join(filter(None, facts)) or 'chat'}"))
    if len(server.models) > _MOST_LISTED:
        lines.append(f"#   and {len(server.models) - _MOST_LISTED} more")
    return lines


def _backend(name: str, chosen: Chosen) -> list[str]:
    server, model = chosen.server, chosen.model
    purposes = {
        "primary": "the largest chat model, which answers",
        "router": "a small model, which chooses the route of each request",
        "embedding": "for /v1/embeddings",
    }
    key = f"{re.sub(r'[^A-Z]', '', server.product.upper()) or 'SERVER'}_API_KEY"
    lines = [f"  {name}:  # {purposes.get(name, 'answers if those before it cannot')}"]
    settings: list[tuple[str, Any, str]] = [
        ("kind", server.kind, "" if server.kind != "openai" else server.title),
        ("url", server.url, ""),
    ]
    if model:
        settings.append(("model", _literal(model.name), ", ".join(model.abilities)))
    if server.wants_key:
        settings.append(("api_key", f"${{{key}}}", "the server wants a key"))
    if model and model.window and not model.listed_window:
        settings.append(("context_window", model.window, "tokens, as served now"))
    if model and model.vision is not None and model.use == "chat":
        settings.append(("vision", model.vision, ""))
    if server.slots:
        settings.append(("slots", server.slots, "requests that it answers at the same time"))
    if server.product in ("Ollama", "LM Studio") and name != "embedding":
        settings.append(("first_byte_timeout", _LOADING, "includes loading the model from disk"))
    if name == "primary":
        settings.append(("date_context", True, "tell the model the current date"))
    for setting, value, why in settings:
        line = f"    {setting}: {_scalar(value)}"
        lines.append(_short(f"{line}  # {why}", len(line)) if why else line)
    if model and model.window and model.listed_window:
        lines.append(f"    # context_window: {model.window:,} tokens, read from /v1/models")
    elif server.kind == "ollama" and name != "embedding" and not (model and model.window):
        lines.append("    # context_window: OLLAMA_CONTEXT_LENGTH, if that is set")
    if server.product == "vLLM":
        lines.append("    # slots: vLLM's --max-num-seqs")
    return lines


def _routes(answering: Sequence[str], chosen: dict[str, Chosen]) -> list[str]:
    local = ", ".join(answering)
    lines = [
        "",
        "routes:",
        f"  primary: {{backends: [{local}]}}",
        f"  xai:     {{backends: [{local}]}}  # without the cloud",
        f"  #~ xai:     {{backends: [xai, {local}]}}",
        f"  enrich:  {{backends: [{local}]}}",
        f"  meta:    {{backends: [{local}]}}",
        "",
        "#~ enrichment: {backend: xai}  # web search",
    ]
    if "embedding" in chosen:
        lines += ["", "embeddings: embedding"]
    lines += ["", "cascade:"]
    router = chosen.get("router")
    if router is None:
        lines += [
            "  tiers: [rules]  # without the cloud there is no choice",
            "  #~ tiers: [rules, cache, learned, encoder]",
            "speculation: {enabled: false}  # without the cloud: the decision takes no time",
        ]
        return lines
    if router.server.kind == "vllm":
        lines += [
            "  tiers: [rules, cache, learned, encoder, one_token, reasoning]",
            "  one_token: {backend: router}",
        ]
    else:
        lines.append("  tiers: [rules, cache, learned, encoder, reasoning]  # one_token needs vLLM")
    lines += [
        "  reasoning: {backend: router}",
        "  # As long as there is no cloud, `tiers: [rules]` saves the classifier's calls.",
    ]
    if router.server is chosen["primary"].server and router.server.kind == "ollama":
        lines.append("  # Both models stay loaded only if OLLAMA_MAX_LOADED_MODELS is at least 2.")
    return lines


def _literal(text: str) -> str:
    """A text that is read as itself, not as a placeholder."""
    return text.replace("$", "$$") if "${" in text else text


def _scalar(value: Any) -> str:
    """A value in YAML, on one line."""
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).splitlines()[0]


def _short(line: str, least: int = 0) -> str:
    """A line whose comment is cut; what precedes `least` is not part of it."""
    longest = max(_SHORTENED, least)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
