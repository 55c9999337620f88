"""The decision matrix of one configuration, prepared so that a request costs the same however many
backends there are."""

from collections.abc import Mapping

from airouter.domain.tasks import TASKS
from airouter.planning.demand import Demand
from airouter.settings.matrix import MatrixRow
from airouter.settings.schema import Settings


class Row:
    """A row with its usable backends."""

    __slots__ = ("backends", "name", "needs", "over", "task")

    def __init__(self, task: str, row: MatrixRow, backends: tuple[str, ...]) -> None:
        self.task = task
        self.over = row.over
        self.needs = frozenset(row.needs)
        self.backends = backends
        conditional = row.over is not None or row.needs
        self.name = f"{task}, {row}" if conditional else f"{task}: {row}"

    def applies(self, demand: Demand) -> bool:
        return self.needs <= demand.needs and (
            self.over is None or demand.tokens.exceeds(self.over)
        )


class Matrix:
    """The rows of each task that have usable backends, in order."""

    def __init__(self, settings: Settings) -> None:
        self.rows: Mapping[str, tuple[Row, ...]] = {
            task: tuple(Row(task, row, backends) for row, backends in settings.task_rows(task))
            for task in TASKS
        }
        self.backends = tuple(  # those that answer chats
            dict.fromkeys(
                name
                for task, rows in self.rows.items()
                if task != "embedding"
                for row in rows
                for name in row.backends
            )
        )

    def row(self, demand: Demand) -> Row | None:
        """The first row of the task that applies to a request."""
        for row in self.rows[demand.task]:
            if row.applies(demand):
                return row
        return None
