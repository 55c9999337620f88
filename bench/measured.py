"""What was measured of an endpoint, kept from run to run as JSON under `logs/slo`: baselines and calibrations."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from bench.endpoint import Subject, Timing
from bench.environment import environment, gpu
from bench.router_process import ROOT
from bench.slo import SloError

STORE = ROOT / "logs" / "slo"
_KEPT = 20  # of each endpoint
Kind = Literal["baseline", "calibration"]


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement. `seconds` are the samples themselves, so that a later one can be compared with them."""

    endpoint: str
    model: str
    version: str | None
    hardware: str
    state: str  # of the GPU when it was measured
    date: str
    simulated: bool
    seconds: list[float]
    rates: list[float] = field(default_factory=list)
    rtt_s: float = 0.0
    threshold_ms: float | None = None
    base: str | None = None


def record(subject: Subject, timings: list[Timing], *, simulated: bool, **more: Any) -> Record:
    """Of a measurement that was just made."""
    return Record(
        subject.name, subject.served, subject.version(), hardware(), gpu(), environment()["date"],
        simulated, [t.seconds for t in timings], [t.rate for t in timings if t.rate is not None], **more,
    )  # fmt: skip


def hardware() -> str:
    """What this machine is, without anything that changes from minute to minute. Of a server elsewhere it says nothing."""
    cards = "; ".join(part.split(",")[0].strip() for part in gpu().split(";"))
    return f"{platform.node()}: {environment()['cpu']}, {environment()['cores']} cores, {cards}"


def load(store: Path, profile: str, kind: Kind) -> dict[str, list[Record]]:
    """By endpoint, oldest first.

    Raises:
        SloError: the file is there and cannot be read.
    """
    path = _path(store, profile, kind)
    if not path.exists():
        return {}
    try:
        rows: Mapping[str, list[dict[str, Any]]] = orjson.loads(path.read_bytes())
        return {name: [Record(**row) for row in found] for name, found in rows.items()}
    except (OSError, orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise SloError(f"{path} cannot be read: {error}") from None


def save(store: Path, profile: str, kind: Kind, records: list[Record]) -> Path:
    """Add these; the last few of each endpoint stay. The file's path."""
    found = load(store, profile, kind)
    for each in records:
        found[each.endpoint] = [*found.get(each.endpoint, []), each][-_KEPT:]
    path = _path(store, profile, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(
        orjson.dumps(
            {name: [asdict(each) for each in rows] for name, rows in found.items()},
            option=orjson.OPT_INDENT_2,
        )
    )
    draft.replace(path)
    return path


def day(each: Record) -> str:
    return datetime.fromisoformat(each.date).astimezone(UTC).strftime("%Y-%m-%d")


def _path(store: Path, profile: str, kind: Kind) -> Path:
    return store / f"{profile}-{kind}.json"
