"""The input of a custom tool out of the arguments of the function that stands for it, as they
come."""

import re

from airouter.dialects.openai_responses_tools import INPUT
from airouter.dialects.wire_json import lenient

_HEAD = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
# What can be decoded: characters and whole escapes. Half a pair of surrogates waits for the other.
_WHOLE = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+"
)


class Input:
    """Reads `{"input": "…"}` incrementally. Arguments that are anything else are the input
    themselves: some models write the bare text."""

    def __init__(self) -> None:
        self._raw: list[str] = []
        self._head = ""  # until it is known whether an input begins
        self._left: str | None = None  # of the text, undecoded; None before it begins
        self._sent: list[str] = []

    def feed(self, arguments: str) -> str:
        """The next part of the input; "" if more arguments are needed."""
        self._raw.append(arguments)
        if self._left is None:
            self._head += arguments
            begun = _HEAD.match(self._head)
            if begun is None:
                return ""
            self._left, self._head = self._head[begun.end() :], ""
        else:
            self._left += arguments
        whole = _WHOLE.match(self._left)
        if whole is None:
            return ""
        self._left = self._left[whole.end() :]
        return self._sends(str(lenient(f'"{whole[0]}"'.encode())))

    def flush(self) -> str:
        """The rest, at the end of the arguments."""
        meant, sent = self._meant(), self.text
        return self._sends(meant[len(sent) :]) if meant.startswith(sent) else ""

    @property
    def text(self) -> str:
        """The input so far."""
        return "".join(self._sent)

    def _sends(self, text: str) -> str:
        if text:
            self._sent.append(text)
        return text

    def _meant(self) -> str:
        arguments = "".join(self._raw)
        try:
            read = lenient(arguments.encode())
        except ValueError:
            return arguments if self._left is None else ""
        if isinstance(read, dict) and isinstance(read.get(INPUT), str):
            return str(read[INPUT])
        return read if isinstance(read, str) else arguments
