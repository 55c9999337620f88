"""The parts of the dashboard, and the events that its pages watch."""

import threading
from collections.abc import Sequence
from pathlib import Path

from airouter.dashboard.board import EVERY, Board
from airouter.dashboard.budgets import EVERY as BUDGETS_EVERY
from airouter.dashboard.budgets import Budgets
from airouter.dashboard.documents import Documents
from airouter.dashboard.feed import Feed
from airouter.dashboard.history import WINDOWS, History
from airouter.dashboard.requests import PastRequests
from airouter.domain.clock import Clock
from airouter.mapper.meter import Meter
from airouter.runtime.housekeeper import Housekeeper
from airouter.runtime.state import Current
from airouter.settings.schema import Settings
from airouter.slo.objectives import Profile
from airouter.telemetry.logs import Log

_HISTORY_EVERY = 3.0  # seconds


class Dashboard:
    """A service of the runtime. Mutable state: one history feed for each window requested so far.

    Args:
        folder: of the run; the same for all workers.
        profiles: of the objectives that are evaluated.
        meter: of this worker's mappings.
    """

    def __init__(
        self,
        current: Current,
        housekeeper: Housekeeper,
        folder: Path,
        profiles: Sequence[Profile],
        meter: Meter,
        clock: Clock,
        log: Log,
    ) -> None:
        self._current, self._clock, self._log = current, clock, log
        self._documents = Documents(lambda: self._settings().logging.dir, clock)
        self.folder = folder
        self.board = Board(current, folder, clock, lambda: dict(housekeeper.found), meter.recent)
        self.requests = PastRequests(self._documents, clock)
        budgets = Budgets(profiles, self._settings, clock)
        self._live = Feed("live", self.board.all_workers, EVERY, clock, log)
        self._objectives = Feed("objectives", budgets.event, BUDGETS_EVERY, clock, log)
        self._histories: dict[int, Feed] = {}
        self._lock = threading.Lock()

    def _settings(self) -> Settings:
        return self._current.state.settings

    def feeds(self, window: int) -> tuple[Feed, ...]:
        """The events of a page.

        Args:
            window: seconds, one of `WINDOWS`.
        """
        with self._lock:
            history = self._histories.get(window)
            if history is None:
                made = History(window, self._settings, self._documents.of, self._clock)
                history = Feed("history", made.event, _HISTORY_EVERY, self._clock, self._log)
                self._histories[window] = history
        return self._live, history, self._objectives

    def start(self) -> None:
        self.board.start()

    def close(self) -> None:
        for feed in (self._live, self._objectives, *self._histories.values()):
            feed.close()
        self.board.close()


__all__ = ["WINDOWS", "Dashboard"]
