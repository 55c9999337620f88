"""Examines backends side by side, each in a limited time."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from airouter.doctor.http import Server
from airouter.doctor.measure import Measured, measure
from airouter.doctor.probe import probe
from airouter.doctor.subject import Found, Subject
from airouter.domain.clock import Clock
from airouter.settings.backends import BackendSettings

LIMIT = 60.0  # seconds for one backend


@dataclass(frozen=True, slots=True)
class Report:
    """What was found about a backend. `skipped`: why it was not asked, "" if it was."""

    skipped: str = ""
    found: Mapping[str, Found] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)

    def has(self, name: str) -> str:
        """The verdict on a capability; "unknown" if it was not asked for."""
        found = self.found.get(name)
        return found.verdict if found else "unknown"

    def evidence(self, name: str) -> str:
        found = self.found.get(name)
        return found.evidence if found else "not asked"


def examine(
    backends: Mapping[str, BackendSettings], clock: Clock, limit: float = LIMIT
) -> dict[str, Report]:
    """Ask each backend what it can do, and measure it.

    Args:
        limit: seconds for each of them.
    """
    reports: dict[str, Report] = {}

    def one(name: str, spec: BackendSettings) -> None:
        reports[name] = _examine(spec, clock, limit)

    threads = [
        threading.Thread(target=one, args=pair, name=f"doctor-{pair[0]}", daemon=True)
        for pair in backends.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: reports.get(name, Report("an error in the doctor")) for name in backends}


def _examine(spec: BackendSettings, clock: Clock, limit: float) -> Report:
    assert spec.url is not None
    server = Server(
        spec.url,
        clock,
        api_key=spec.api_key,
        ca_file=spec.ca_file,
        connect_timeout=spec.connect_timeout,
        limit=limit,
    )
    subject = Subject(server, spec.model, cloud=is_cloud(spec))
    found = probe(subject)
    return Report("", found, measure(subject))


def is_cloud(spec: BackendSettings) -> bool:
    """Whether a request to it may cost money."""
    return not spec.local or spec.kind == "xai"
