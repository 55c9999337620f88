"""Reads and checks requests to the mapper. No message quotes what was sent."""

from typing import Any

import orjson

from airouter.dialects import wire_json
from airouter.domain.errors import BadRequest
from airouter.domain.types import immutable
from airouter.mapper.rules import parts

MAX_OUTPUT = 64 * 1024  # bytes
MAX_TENANT = MAX_DETECTOR = 64  # characters
MAX_BATCH = 100
_FIELDS = frozenset({"detector", "output", "tenant_id", "metadata"})


@immutable
class MapRequest:
    """What one detector says about one content."""

    detector: str
    output: str
    tenant_id: str


def read_json(raw: bytes) -> Any:
    """The body's value.

    Raises:
        BadRequest: it is no JSON.
    """
    try:
        return wire_json.strict(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The request body is not valid JSON in UTF-8.") from None


def read_request(value: Any) -> MapRequest:
    """One request.

    Raises:
        BadRequest: what is wrong with it.
    """
    if type(value) is not dict:
        raise BadRequest("A request must be an object with detector, output and tenant_id.")
    if not value.keys() <= _FIELDS:
        raise BadRequest("A request may have detector, output, tenant_id and metadata only.")
    detector = _name(value, "detector", MAX_DETECTOR)
    tenant_id = _name(value, "tenant_id", MAX_TENANT)
    output = value.get("output")
    if type(output) is not str:
        raise BadRequest("'output' must be a string.", param="output")
    if len(output) > MAX_OUTPUT // 4 and len(output.encode()) > MAX_OUTPUT:
        raise BadRequest("'output' is larger than 64 KB.", param="output")
    if not parts(output):
        raise BadRequest("'output' is empty.", param="output")
    if not isinstance(value.get("metadata"), dict | None):
        raise BadRequest("'metadata' must be an object.", param="metadata")
    return MapRequest(detector, output, tenant_id)


def read_batch(value: Any) -> list[Any]:
    """The requests of a batch, each still to be read.

    Raises:
        BadRequest: it is no batch.
    """
    requests = value.get("requests") if type(value) is dict else None
    if type(requests) is not list or len(value) != 1:
        raise BadRequest("A batch must be an object with the list 'requests' only.")
    if not 1 <= len(requests) <= MAX_BATCH:
        raise BadRequest(f"'requests' must have 1 to {MAX_BATCH} entries.", param="requests")
    return requests


def detector_of(value: Any) -> str | None:
    """The detector that a request names, even if the request is invalid; None if it names none."""
    detector = value.get("detector") if type(value) is dict else None
    return detector if type(detector) is str and 1 <= len(detector) <= MAX_DETECTOR else None


def _name(value: dict[str, Any], name: str, most: int) -> str:
    text = value.get(name)
    if type(text) is not str or not 1 <= len(text) <= most:
        raise BadRequest(f"'{name}' must be a string of 1 to {most} characters.", param=name)
    return text
