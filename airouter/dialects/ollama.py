"""Ollama's native API as a client's dialect: what each endpoint asks and answers."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson

from airouter.dialects import ollama_request
from airouter.dialects.ollama_answer import Lines, Vectors, Whole, opening
from airouter.domain.clock import Clock
from airouter.domain.dialect import Translator
from airouter.domain.types import Endpoint, immutable

# /api/chat; /api/generate with the model's template, and without; /api/embed; /api/embeddings.
Form = Literal["chat", "generate", "raw", "embed", "embeddings"]
ENDPOINT_OF: Mapping[Form, Endpoint] = {
    "chat": "chat",
    "generate": "chat",
    "raw": "completions",
    "embed": "embeddings",
    "embeddings": "embeddings",
}
_PARSERS: Mapping[Form, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "chat": ollama_request.chat,
    "generate": ollama_request.generate,
    "raw": ollama_request.raw,
    "embed": ollama_request.embed,
    "embeddings": ollama_request.embeddings,
}


@immutable
class Ollama:
    """Implements `ClientDialect` for one request.

    `began`: the clock's monotonic time of its arrival, from which durations count. `thinks`:
    whether the client wants to see reasoning.
    """

    form: Form
    clock: Clock
    began: float
    thinks: bool = True

    # Blanks before a line are part of its JSON: no client sees them, but the connection stays busy.
    comment = b" "
    stream_type = "application/x-ndjson"

    def parse(self, payload: dict[str, Any]) -> dict[str, Any]:
        return _PARSERS[self.form](payload)

    def writer(self, *, stream: bool) -> Translator:
        if ENDPOINT_OF[self.form] == "embeddings":
            return Vectors(self.clock, self.began, several=self.form == "embed")
        kind = Lines if stream else Whole
        return kind(self.clock, self.began, chat=self.form == "chat", thinks=self.thinks)

    def error(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"error": body["error"]["message"]}

    def loaded(self, model: str, reason: str) -> bytes:
        """The answer to a request without a prompt, which asks to load or unload the model.

        Args:
            reason: load or unload.
        """
        if self.form == "embed":
            return orjson.dumps({"model": model, "embeddings": []})
        if self.form == "embeddings":
            return orjson.dumps({"embedding": []})
        said = {"message": {"role": "assistant", "content": ""}}
        rest = said if self.form == "chat" else {"response": ""}
        head = opening(model, self.clock.time())
        return orjson.dumps(head | rest | {"done_reason": reason, "done": True})


OLLAMA = Ollama("chat", Clock(), 0.0)  # for errors, which are the same everywhere
