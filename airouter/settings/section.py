"""What all sections of the configuration share: their base class, and common types of values."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]

# Invisible characters at the ends of copied text: white space, byte order mark, zero-width space.
_INVISIBLE = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")


class Section(BaseModel):
    """Immutable. An unknown setting is an error; errors do not quote values, which may be keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=()
    )


def one_line(value: str | None) -> str | None:
    """Strip invisible characters, such as a trailing newline; return None if nothing is left.

    Raises:
        ValueError: the value contains a line break or another control character. The message does
            not quote the value, which may be a key.
    """
    if value is None:
        return None
    value = _INVISIBLE.sub("", value)
    if not value.replace("\u00a0", " ").isprintable():
        raise ValueError(
            "must be a single line; it contains a line break or another control character "
            "(two keys in one secret?)"
        )
    return value or None
