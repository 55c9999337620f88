"""Protocols of the parts that `app.py` injects."""

from collections.abc import Mapping
from typing import Any, Protocol

from airouter.domain.types import ExchangeRecord, HttpRequest, WebSearch


class Sink(Protocol):
    """Receives the record of every finished exchange. Must not block and must not raise."""

    def emit(self, record: ExchangeRecord) -> None:
        """Take over the record; called once per exchange, in the thread of the request."""
        ...


class Provider(Protocol):
    """A kind of backend: how requests are built and answers are parsed. Stateless; see
    `providers.py`."""

    kind: str
    health_path: str | None  # None: probe /v1/models
    continues: bool  # can continue a cut answer (continue_final_message)
    constrains: bool  # supports constrained decoding with log-probabilities
    adds_usage: bool  # supports stream_options.include_usage
    searches: bool  # can search the web

    def headers(self, api_key: str | None) -> dict[str, str]:
        """The headers of every request to the backend."""
        ...

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str]) -> HttpRequest:
        """A POST request with a JSON body; `path` is relative to the backend's base URL."""
        ...

    def search(self, search: WebSearch, headers: Mapping[str, str]) -> HttpRequest:
        """The request that runs a web search.

        Raises:
            ConfigError: this kind of backend cannot search the web.
        """
        ...

    def search_text(self, payload: Any) -> str:
        """The text in the JSON of a search's response; "" if there is none."""
        ...
