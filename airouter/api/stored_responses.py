"""Responses that are kept: GET and DELETE /v1/responses/{id}, and requests that continue one."""

from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Blueprint, Response, jsonify, request

from airouter.api.middleware import KEY
from airouter.dialects.openai_responses import response_id
from airouter.dialects.openai_responses_items import kind_of
from airouter.dialects.openai_responses_request import items_of
from airouter.domain.errors import BadRequest, NotFound
from airouter.runtime.kept_responses import ResponseStore
from airouter.runtime.process import Runtime

_NOT_KEPT = "Responses are not kept here (responses.max_stored)"


def blueprint(runtime: Runtime, store: ResponseStore) -> Blueprint:
    bp = Blueprint("stored_responses", __name__)

    def missing(id: str) -> NoReturn:
        kept = runtime.state.settings.responses.max_stored
        raise NotFound(
            f"There is no response {id[:80]!r}." if kept else f"{_NOT_KEPT}.",
            code="response_not_found",
        )

    @bp.get("/v1/responses/<id>")
    def one(id: str) -> Response:
        found = store.find(holder_of(request.environ), id)
        if found is None:
            missing(id)
        return jsonify(found.response)

    @bp.delete("/v1/responses/<id>")
    def delete(id: str) -> Response:
        if not store.forget(holder_of(request.environ), id):
            missing(id)
        return jsonify({"id": id, "object": "response", "deleted": True})

    @bp.post("/v1/responses/<id>/cancel")
    def cancel(id: str) -> Response:
        if store.find(holder_of(request.environ), id) is None:
            missing(id)
        raise BadRequest("Only responses in the background can be cancelled; there are none here.")

    return bp


def holder_of(environ: Mapping[str, Any]) -> str:
    """Whose responses a client's are: the id of its key; "" without one."""
    key = environ.get(KEY)
    return "" if key is None else str(key.id)


def continued(payload: dict[str, Any], store: ResponseStore | None, holder: str) -> dict[str, Any]:
    """The request with the items of the response that it continues, and with those that it refers
    to.

    Args:
        store: None: responses are not kept.

    Raises:
        BadRequest: the response is not known, or responses are not kept.
    """
    previous = payload.get("previous_response_id")
    if previous is not None:
        payload = {**payload, "input": [*_before(previous, store, holder), *items_of(payload)]}
    given = payload.get("input")
    if store is None or not isinstance(given, list):
        return payload
    if all(kind_of(item) != "item_reference" for item in given):
        return payload
    return {**payload, "input": [_referred(item, store, holder) for item in given]}


def _before(previous: Any, store: ResponseStore | None, holder: str) -> list[Any]:
    if not isinstance(previous, str):
        raise BadRequest(
            "previous_response_id: must be a string.",
            param="previous_response_id",
            code="invalid_type",
        )
    if store is None:
        raise BadRequest(
            f"{_NOT_KEPT}: send the whole conversation as input.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    found = store.find(holder, previous)
    if found is None:
        raise BadRequest(
            f"There is no response {previous[:80]!r}: send the whole conversation as input.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    return [*found.items, *found.response["output"]]


def _referred(item: Any, store: ResponseStore, holder: str) -> Any:
    """The item of a response that a reference means; the reference itself if there is none."""
    id = item.get("id") if kind_of(item) == "item_reference" else None
    if not isinstance(id, str):
        return item
    found = store.find(holder, response_id(id.partition("_")[2].partition("_")[0]))
    output = found.response["output"] if found is not None else []
    return next((one for one in output if one["id"] == id), item)
