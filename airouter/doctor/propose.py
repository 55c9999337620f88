"""Proposes a configuration for one server that was asked what it can do."""

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import yaml

from airouter.doctor.examine import Report

_LOCAL_NAMES = (".local", ".lan", ".internal", ".home.arpa", ".localhost")


def propose(url: str, report: Report, *, local: bool, ca_file: str | None = None) -> str:
    """A minimal configuration as YAML; "" where the server answers no chat, so that it cannot
    serve the default route.

    Args:
        local: False for a third party's server. Its key belongs into the environment, as
            XAI_API_KEY, which goes with a backend called xai.
    """
    if report.has("chat") != "yes":
        return ""
    kind = report.found["kind"].value or "openai"
    keyed = not local or kind == "xai"
    name = "xai" if keyed else "primary"
    backend: dict[str, Any] = {"kind": kind, "url": url, "local": local}
    backend["model"] = report.found["models"].value[0] if report.has("models") == "yes" else None
    window = report.found["window"]
    if window.verdict == "yes" and "/v1/models" not in window.evidence:
        backend["context_window"] = window.value
    if report.has("vision") != "unknown":
        backend["vision"] = report.has("vision") == "yes"
    if report.has("thinking") == "yes" and report.has("thinking_switch") != "yes":
        backend["reasoning"] = True
    if kind == "vllm" and report.has("continuation") == "no":
        backend["continues"] = "none"
    elif kind != "vllm" and report.has("prefill") == "yes":
        backend["continues"] = "prefill"
    backend["ca_file"] = ca_file
    routes = ("primary", "xai", "enrich", "meta") if keyed else ("primary",)
    settings: dict[str, Any] = {
        "backends": {name: {k: v for k, v in backend.items() if v is not None}},
        "routes": {route: {"backends": [name]} for route in routes},
    }
    if report.has("embeddings") == "yes":
        settings["embeddings"] = name
    if kind == "xai":
        settings["enrichment"] = {"backend": name}
    settings["cascade"] = {"tiers": ["rules"]}  # with one backend there is no choice
    settings["speculation"] = {"enabled": False}
    head = "# Environment: XAI_API_KEY, its key\n" if keyed else ""
    return head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=10_000)


def is_local(url: str) -> bool:
    """Whether a server is in this machine's own network, by its address or its name."""
    host = urlsplit(url).hostname or ""
    if not re.search(r"[.:]", host) or host.endswith(_LOCAL_NAMES):
        return True
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(each.partition("%")[0]).is_private for each in found)
