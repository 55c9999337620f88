"""What the translators of clients' requests to chat completions share."""

from typing import NoReturn

from airouter.domain.errors import BadRequest

MAX_NAME = 40  # characters of a client's name in a note
# Fields of inference servers beyond the APIs of OpenAI and Anthropic, which SDKs send by
# `extra_body`; passed on under the same name.
SERVER_FIELDS = (
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "chat_template_kwargs",
    "reasoning_effort",
)


def note(notes: list[str], text: str) -> None:
    """Add a note, once."""
    if text not in notes:
        notes.append(text)


def refuse(param: str, what: str) -> NoReturn:
    """Raises:
    BadRequest: names the parameter.
    """
    raise BadRequest(f"{param}: {what}.", param=param, code="invalid_type")
