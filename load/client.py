"""What a user holds against an answer: the client is that of the benchmarks, the judgement is a
user's."""

import re
from collections.abc import Mapping
from typing import Any

from bench.client import CHAT, Answer, Connection

_ERROR = re.compile(rb'data:\s*\{\s*"error"[^\n]{,200}')


class Client(Connection):
    """One kept-alive connection. Never raises for what the server or the network does: see
    `Answer.problem`."""

    def request(
        self,
        body: dict[str, Any],
        *,
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """One request; options as of `Connection.ask`."""
        answer = self.ask(self.endpoint.wire(path, body, headers=headers), **options)
        if not (answer.late or answer.aborted):
            answer.problem = answer.problem or _wrong(answer, bool(body.get("stream")))
        return answer


def _wrong(answer: Answer, streaming: bool) -> str:
    """Why an answer that came is no whole one."""
    said = answer.body[:200].decode("utf-8", "replace")
    if answer.status != 200:
        return f"status {answer.status}: {said}"
    if streaming and (error := _ERROR.search(answer.body)):
        return f"an error within the stream: {error[0].decode('utf-8', 'replace')}"
    if streaming and not (answer.streamed and answer.done):
        return "the stream ended without [DONE]"
    if not streaming and b'"choices"' not in answer.body and b'"embedding"' not in answer.body:
        return "neither choices nor vectors in the answer"
    return ""
