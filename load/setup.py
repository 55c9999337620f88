"""What the load generator's processes need to know; it reaches them through their environment."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from bench.client import Endpoint
from load.plan import Phase

_VARIABLE, _KEY = "AI_ROUTER_LOAD", "AI_ROUTER_LOAD_KEY"
PHASES_FILE = "phases.jsonl"  # when each phase began


@dataclass(frozen=True, slots=True)
class Setup:
    """`users`: how many of them are the rated load (1×); `period`: seconds from one turn of a user to its next.
    Without `phases` whoever looks at the web interface says how many there are."""

    url: str
    folder: Path
    virtual_model: str = "ai-router"
    embedding_model: str | None = None
    users: float = 20.0
    period: float = 6.0
    impatience: float = 0.4
    phases: tuple[Phase, ...] = ()

    def environ(self, api_key: str | None) -> dict[str, str]:
        """The variables that carry it; the key is in one of its own, and in no command line."""
        found = {_VARIABLE: orjson.dumps(asdict(self), default=str).decode()}
        return found | ({_KEY: api_key} if api_key else {})

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Setup":
        """As `environ` wrote it; started by hand, the variable AI_ROUTER_LOAD may be missing: then the usual local address."""
        row = orjson.loads(
            environ.get(_VARIABLE)
            or b'{"url": "http://127.0.0.1:8002", "folder": "logs/load/by-hand"}'
        )
        phases = tuple(Phase(**phase) for phase in row.pop("phases", ()))
        return cls(**{**row, "folder": Path(row["folder"])}, phases=phases)

    def endpoint(self, environ: Mapping[str, str] = os.environ) -> Endpoint:
        return Endpoint.of(self.url, environ.get(_KEY) or environ.get("API_KEY") or None)
