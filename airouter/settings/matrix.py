"""The decision matrix: which backends answer a task, by the length of the prompt and by what the
request needs."""

from collections.abc import Mapping

from pydantic import Field

from airouter.domain.tasks import Need
from airouter.settings.section import Section


class MatrixRow(Section):
    """A row: it applies to prompts of more than `over` tokens, and to requests that need all of
    `needs`."""

    over: int | None = Field(None, ge=0, le=100_000_000)
    needs: tuple[Need, ...] = ()
    backends: tuple[str, ...] = Field(min_length=1)

    def __str__(self) -> str:
        conditions = []
        if self.over is not None:
            conditions.append(f"more than {self.over:,} tokens")
        if self.needs:
            conditions.append(f"needs {', '.join(self.needs)}")
        return f"{', '.join(conditions)}: {', '.join(self.backends)}".removeprefix(": ")


_FAST = "coder_fast"  # without a backend of this name there is no default matrix


def _to(*backends: str, over: int | None = None) -> MatrixRow:
    return MatrixRow(backends=backends, over=over)


DEFAULT_TASKS: Mapping[str, tuple[MatrixRow, ...]] = {
    "code": (_to("coder", over=40_000), _to(_FAST)),
    "reasoning": (_to("r1"),),
    "embedding": (_to("embedding"),),
    "vision": (_to(_FAST),),
    "lightweight": (_to("small", _FAST),),
    "routing": (_to(_FAST),),
    "general": (_to(_FAST),),
}


def default_tasks(backends: Mapping[str, object]) -> Mapping[str, tuple[MatrixRow, ...]]:
    """The matrix of a configuration that states none."""
    return DEFAULT_TASKS if _FAST in backends else {}
