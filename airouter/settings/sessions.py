"""Settings of what the earlier turns of a conversation mean for where the next one goes."""

from typing import Annotated, Literal

from pydantic import Field

from airouter.settings.section import Seconds, Section


class SessionSettings(Section):
    """Where the turns of a conversation go after the first one."""

    policy: Literal["sticky", "free"] = Field(
        "sticky",
        description="`sticky`: a turn stays at the backend of the turn before unless its decision "
        "is sure and worth reading the conversation anew elsewhere. `free`: each turn is decided "
        "by itself, and only tool results stay.",
    )
    sure_p: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="Probability from which a decision is sure enough to move a conversation. "
        "Decisions without a probability (the reasoning tier's) are.",
    )
    max_price: Seconds = Field(
        10,
        description="Seconds that a move to another backend may take for reading the conversation. "
        "A sure COMPLEX moves at any price.",
    )
    prefill: Annotated[float, Field(gt=0)] = Field(
        1000,
        description="Prompt tokens per second that a backend is taken to read until its own "
        "answers show how many it does.",
    )
    escalate: bool = Field(
        True,
        description="Whether an agent that is stuck (the same tool call with the same result, or "
        "the same error of a tool, three times in a row) moves to the route for COMPLEX, once.",
    )
    size: int = Field(
        10_000,
        ge=1,
        description="Maximum number of entries in the memory of each worker: one per request, and "
        "up to two per conversation.",
    )
    idle: Annotated[float, Field(gt=0, le=30 * 86_400)] = Field(
        86_400, description="Seconds after which a conversation without a request is forgotten."
    )
