"""Kinds of backends: how requests are built and answers are parsed. `KINDS` lists all of them.

Kinds are stateless. To add one, add a class here, an entry in `KINDS`, and its name to
`BackendSettings.kind`.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from airouter.dialects.anthropic import ANTHROPIC
from airouter.dialects.openai import OPENAI
from airouter.domain.dialect import BackendDialect
from airouter.domain.errors import ConfigError
from airouter.domain.ports import Provider
from airouter.domain.types import HttpRequest, WebSearch


class OpenAICompatible:
    """Any server with an OpenAI-compatible API: `{url}/v1/…`."""

    kind = "openai"
    health_path: str | None = None  # no health endpoint: probe /v1/models
    continues = False
    constrains = False
    adds_usage = True
    searches = False
    dialect: BackendDialect = OPENAI

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The headers of every request to this backend, including its own key."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "User-Agent": "ai-router",
        }
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        return headers

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str]) -> HttpRequest:
        return HttpRequest("POST", path, headers, orjson.dumps(body))

    def search(self, search: WebSearch, headers: Mapping[str, str]) -> HttpRequest:
        raise ConfigError(
            f"A backend of kind {self.kind!r} cannot search the web; "
            "set enrichment.backend to a backend of kind xai."
        )

    def search_text(self, payload: Any) -> str:
        return ""


class Vllm(OpenAICompatible):
    """vLLM's OpenAI server: health endpoint, constrained decoding, continuation of cut answers."""

    kind = "vllm"
    health_path = "/health"
    continues = True
    constrains = True


class Ollama(OpenAICompatible):
    """Ollama's OpenAI API."""

    kind = "ollama"


class Xai(OpenAICompatible):
    """xAI: OpenAI-compatible chat, web search by the Responses API."""

    kind = "xai"
    searches = True

    def search(self, search: WebSearch, headers: Mapping[str, str]) -> HttpRequest:
        """`POST /v1/responses` with server-side search tools."""
        body = {
            "input": search.query,
            "model": search.model,
            "max_output_tokens": search.max_output_tokens,
            "temperature": 0,
            "tools": [{"type": tool} for tool in search.tools],
        }
        return self.post("/v1/responses", body, headers)

    def search_text(self, payload: Any) -> str:
        """The `output_text` blocks of the answer, joined; "" if there are none."""
        blocks = []
        for item in payload.get("output") or [] if isinstance(payload, dict) else []:
            for part in item.get("content") or [] if isinstance(item, dict) else []:
                if (
                    isinstance(part, dict)
                    and part.get("type") == "output_text"
                    and isinstance(part.get("text"), str)
                ):
                    blocks.append(part["text"])
        return "\n\n".join(blocks)


class Anthropic(OpenAICompatible):
    """Anthropic's Messages API, to and from which requests and answers are translated."""

    kind = "anthropic"
    dialect = ANTHROPIC

    def headers(self, api_key: str | None) -> dict[str, str]:
        key = {"x-api-key": api_key} if api_key else {}
        return {**super().headers(None), "anthropic-version": "2023-06-01", **key}


KINDS: Mapping[str, Provider] = {
    kind.kind: kind() for kind in (OpenAICompatible, Vllm, Ollama, Xai, Anthropic)
}
