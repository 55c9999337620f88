"""What the library asks of the parts that are composed around it (see `app.py`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from airouter.types import ExchangeRecord, HttpRequest


class Sink(Protocol):
    """Receives the record of every finished exchange. Must return at once and must not raise."""

    def emit(self, record: ExchangeRecord) -> None: ...


class Provider(Protocol):
    """What a kind of backend is: how a request to it is made and its answer read. Stateless; see `providers.py`."""

    kind: str
    health_path: str | None  # None: ask /v1/models instead
    continues: bool  # can continue a cut answer (continue_final_message)
    constrains: bool  # can constrain an answer to a choice and return log-probabilities
    adds_usage: bool  # understands stream_options.include_usage

    searches: bool  # can search the web

    def headers(self, api_key: str | None) -> dict[str, str]: ...

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str]) -> HttpRequest: ...

    def search(
        self,
        query: str,
        model: str,
        tools: Sequence[str],
        max_output_tokens: int,
        headers: Mapping[str, str],
    ) -> HttpRequest: ...

    def search_text(self, payload: Any) -> str: ...
