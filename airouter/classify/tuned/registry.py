"""Which tuned models there are, and which of them is used.

A model is used only if it passed the gate: `state.json` has the hashes of its file and of its card,
as they were then. A file that has been changed since, or was never gated, is refused wherever it is
named. All changes are made under a lock and take effect at once or not at all; each worker
notices them by the file's time.
"""

import fcntl
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from airouter.classify.tuned.head import Head, digest, read_head, write_private
from airouter.domain.errors import ConfigError

_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{1,4}")
_KEPT = 5  # models that are not in use


@dataclass(frozen=True, slots=True)
class State:
    """Names of models. `service`: decides; `shadow`: is compared only; `previous`: was in service
    before. `gated`: hashes of model and card, by name. `drifted`: out of service since its live
    agreement fell below the gate's level."""

    service: str | None = None
    shadow: str | None = None
    previous: str | None = None
    gated: dict[str, list[str]] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)


class Registry:
    """The folder of tuned models. Stateless: the files are the state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "state.json"

    def state(self) -> State:
        """The state; the initial one if there is no file.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            found = orjson.loads(self._path.read_bytes())
            return State(**found)
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, TypeError):
            raise ConfigError(f"{self._path} cannot be read; delete it to start again") from None

    def stamp(self) -> tuple[int, int]:
        """A cheap fingerprint of the state."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def open(self, name: str) -> Head:
        """A model, if it is as it was when it passed the gate.

        Raises:
            ConfigError: it has not passed the gate, or its file or card is missing or changed.
        """
        return self._opened(name, self.state())

    def card(self, name: str) -> dict[str, Any]:
        """The card of a model; empty if it is missing or damaged."""
        with suppress(OSError, ValueError):
            found = orjson.loads(self._file(name, "card.json").read_bytes())
            return found if isinstance(found, dict) else {}
        return {}

    def names(self) -> list[str]:
        """All models with a card, oldest first."""
        found = (path.name.removesuffix(".card.json") for path in self.folder.glob("*.card.json"))
        return sorted((name for name in found if _NAME.fullmatch(name)), key=_order)

    def new_name(self, day: str) -> str:
        """A name for a model of this day (YYYY-MM-DD)."""
        numbers = [_order(name)[1] for name in self.names() if name.startswith(day)]
        return f"{day}-{max(numbers, default=0) + 1}"

    # Changes --------------------------------------------------------------------------------------

    def add(self, head: Head, card: dict[str, Any]) -> None:
        """Keep a new model with its card; one that passed the gate begins to run in shadow.

        Args:
            card: `refused`: why the gate refused the model; empty if it passed.
        """
        model = head.to_bytes()
        card = {"name": head.name, "sha256": digest(model), "base": head.base, **card}
        written = orjson.dumps(card, option=orjson.OPT_INDENT_2)
        write_private(self._file(head.name, "json"), model)
        write_private(self._file(head.name, "card.json"), written)

        def accept(state: State) -> State:
            if card["refused"]:
                return state
            hashes = [digest(model), digest(written)]
            return replace(state, shadow=head.name, gated={**state.gated, head.name: hashes})

        self._change(accept)
        self._prune()

    def promote(self, name: str | None, base: str) -> str:
        """Put a model into service; returns its name.

        Args:
            name: None: the one in shadow.
            base: hash of the file of the learned model that is in use.

        Raises:
            ConfigError: it may not be used; nothing has changed.
        """

        def edit(state: State) -> State:
            chosen = name or state.shadow
            if chosen is None:
                raise ConfigError("no tuned model is in shadow; run `learn train`")
            if chosen == state.service:
                raise ConfigError(f"the tuned model {chosen} is in service already")
            if chosen in state.drifted:
                raise ConfigError(
                    f"the tuned model {chosen} was put back into shadow because its live agreement "
                    "fell; train a new one"
                )
            if self._opened(chosen, state).base != base:
                raise ConfigError(f"the tuned model {chosen} belongs to another learned model")
            shadow = None if chosen == state.shadow else state.shadow
            return replace(state, service=chosen, shadow=shadow, previous=state.service)

        return str(self._change(edit).service)

    def rollback(self) -> str | None:
        """Put the model that was in service before into service again; none if there was none, or
        if it may not be used any more. Returns its name.

        Raises:
            ConfigError: no model is in service.
        """

        def edit(state: State) -> State:
            if state.service is None:
                raise ConfigError("no tuned model is in service")
            previous = state.previous
            try:
                if previous is not None:
                    self._opened(previous, state)
            except ConfigError:
                previous = None
            return replace(state, service=previous, previous=None)

        return self._change(edit).service

    def drift(self, name: str) -> bool:
        """Put the model in service back into shadow; whether it was in service."""
        changed = []

        def edit(state: State) -> State:
            if state.service != name:
                return state
            changed.append(name)
            drifted = [*state.drifted, name][-_KEPT:]
            return replace(state, service=None, previous=None, shadow=name, drifted=drifted)

        self._change(edit)
        return bool(changed)

    # Files ----------------------------------------------------------------------------------------

    def _opened(self, name: str, state: State) -> Head:
        hashes = state.gated.get(name)
        if hashes is None:
            raise ConfigError(f"the tuned model {name} has not passed the gate")
        try:
            model, card = (
                self._file(name, ending).read_bytes() for ending in ("json", "card.json")
            )
        except OSError:
            raise ConfigError(f"the file or the card of the tuned model {name} is gone") from None
        if [digest(model), digest(card)] != hashes:
            raise ConfigError(f"the tuned model {name} or its card was changed after the gate")
        return read_head(model, name)

    def _file(self, name: str, ending: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is not the name of a tuned model")
        return self.folder / f"{name}.{ending}"

    def _change(self, edit: Callable[[State], State]) -> State:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "state.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.state()
            state = edit(before)
            if state != before:
                data = orjson.dumps(asdict(state), option=orjson.OPT_INDENT_2)
                write_private(self._path, data)
            return state

    def _prune(self) -> None:
        state = self.state()
        used = {state.service, state.shadow, state.previous}
        old = [name for name in self.names() if name not in used][:-_KEPT]
        for name in old:
            for ending in ("json", "card.json"):
                self._file(name, ending).unlink(missing_ok=True)
        if old:
            self._change(lambda s: replace(s, gated=_without(s.gated, old)))


def _order(name: str) -> tuple[str, int]:
    day, _, number = name.rpartition("-")
    return day, int(number)


def _without(gated: dict[str, list[str]], old: list[str]) -> dict[str, list[str]]:
    return {name: hashes for name, hashes in gated.items() if name not in old}
