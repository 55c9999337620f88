"""What the tests of learning share: a folder of logs and of tuned models, and weeks that pass."""

import shutil
from pathlib import Path

from doubles import FakeClock, LogLines
from simulated import START, Teacher, now_after, week, write_sessions

from airouter.classify.learned.text_model import Model, load_model
from airouter.classify.tiers.tuned import TunedTier
from airouter.classify.tuned.head import digest_of_base
from airouter.classify.tuned.registry import Registry
from airouter.learning.collect import collect
from airouter.learning.store import Store
from airouter.learning.train import Trained, train
from airouter.sessions.files import Files


class World:
    """A folder of logs and one of tuned models, and the time after a number of weeks."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self.base = folder, base
        self.model: Model = load_model(base)
        self.store, self.registry = Store(folder / "tuned"), Registry(folder / "tuned")
        self.clock, self.log = FakeClock(START), LogLines()
        self.said: list[str] = []

    def live(self, number: int, teacher: Teacher) -> None:
        """A week passes; its sessions are collected and then expire."""
        write_sessions(self.folder / "logs" / "sessions", week(number), teacher, number)
        self.clock.elapsed = now_after(number) - START.timestamp()
        collect(Files(self.folder / "logs"), self.store, self.clock.time(), 90, 20_000)
        shutil.rmtree(self.folder / "logs")

    def train(self) -> Trained:
        return train(self.store, self.registry, self.base, self.clock, self.said.append)

    def tier(self) -> TunedTier:
        digest = digest_of_base(self.base)
        return TunedTier(self.registry, self.model, digest, self.clock, self.log)

    def promote(self, name: str | None = None) -> str:
        return self.registry.promote(name, digest_of_base(self.base))
