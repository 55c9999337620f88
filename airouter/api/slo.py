"""/metrics/summary and /metrics/alerts: the objectives as the router itself evaluates them."""

from typing import Any

import orjson
from flask import Blueprint, Response

from airouter.domain.errors import RouterError
from airouter.index.reading import NAME, look_up
from airouter.runtime.process import Runtime


def blueprint(runtime: Runtime) -> Blueprint:
    bp = Blueprint("slo", __name__)

    @bp.get("/metrics/summary")
    def summary() -> Response:
        """Per objective: events, error budget left, burn rates; and the traffic of the routes."""
        rows = _read(runtime, "SELECT summary, at FROM slo_summary ORDER BY slo")
        return _json(
            {
                "evaluated_at": max((at for _, at in rows), default=None),
                "objectives": [orjson.loads(text) for text, _ in rows],
                "routes": runtime.stats.snapshot(),
            }
        )

    @bp.get("/metrics/alerts")
    def alerts() -> Response:
        """The alerts that are pending, firing, or resolved since less than a day."""
        rows = _read(runtime, "SELECT listed FROM alerts ORDER BY state, severity, name")
        return _json({"alerts": [orjson.loads(text) for (text,) in rows]})

    return bp


def _read(runtime: Runtime, query: str) -> list[Any]:
    settings = runtime.state.settings
    if not (settings.slo.enabled and settings.index.enabled):
        raise RouterError(
            "Objectives are not evaluated; set slo.enabled and index.enabled to true.",
            status=404,
            code="slo_disabled",
        )
    return look_up(settings.logging.dir / NAME, query)


def _json(body: dict[str, Any]) -> Response:
    raw = orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
    return Response(raw, content_type="application/json")
