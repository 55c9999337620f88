"""The OpenAPI document of the mapper."""

from typing import Any

from airouter import __version__
from airouter.mapper.answer import REASONS
from airouter.mapper.requests import MAX_BATCH, MAX_DETECTOR, MAX_TENANT
from airouter.mapper.taxonomy import Taxonomy

_JSON = "application/json"
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT = {"type": "string"}
_ERRORS = {
    400: ("INVALID_REQUEST", "The request is not valid; the message says why."),
    401: ("UNAUTHORIZED", "The API key is missing, wrong or revoked."),
    403: ("INSUFFICIENT_RBAC", "The API key may not use the mapper."),
    408: ("REQUEST_TIMEOUT", "The deadline of the request is over; it may be retried."),
    429: ("RATE_LIMITED", "Too many requests; retry after the seconds in Retry-After."),
    500: ("INTERNAL_ERROR", "A fault of the router's own."),
}


def document(taxonomy: Taxonomy) -> dict[str, Any]:
    """OpenAPI 3.1; its schemas are JSON schemas (draft 2020-12)."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mapper",
            "version": __version__,
            "description": "Maps what a detector says to the labels of one taxonomy.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(taxonomy),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _paths() -> dict[str, Any]:
    return {
        "/map": {"post": _post("Map the output of a detector", "MapRequest", "MapResponse")},
        "/map/batch": {
            "post": _post(
                f"Map 1 to {MAX_BATCH} outputs; an invalid one does not affect the others",
                "BatchRequest",
                "BatchResponse",
            )
        },
        "/map/taxonomy": {"get": _get("The labels, with descriptions and aliases")},
        "/map/detectors": {"get": _get("The known detectors, with what each maps")},
        "/map/openapi.json": {"get": _get("This document")},
        "/map/docs": {"get": _get("This document as a page", "text/html")},
    }


def _post(summary: str, request: str, response: str) -> dict[str, Any]:
    answers: dict[str, Any] = {"200": _answer("Mapped.", response)}
    for status, (code, text) in _ERRORS.items():
        answers[str(status)] = _answer(f"{code}: {text}", "Error")
    return {
        "summary": summary,
        "parameters": [
            _header("Idempotency-Key", "The same key and body are answered as the first time, "
                    "for 600 s.", {"type": "string", "minLength": 1, "maxLength": 255}),
            _header("x-router-timeout", "Seconds for the whole request, 10 by default.",
                    {"type": "number", "exclusiveMinimum": 0}),
        ],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _ref(request)}}},
        "responses": answers,
    }  # fmt: skip


def _get(summary: str, kind: str = _JSON) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {kind: {}}}},
    }


def _answer(text: str, schema: str) -> dict[str, Any]:
    return {"description": text, "content": {_JSON: {"schema": _ref(schema)}}}


def _header(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": schema}


def _ref(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


def _schemas(taxonomy: Taxonomy) -> dict[str, Any]:
    tenant = {"type": "string", "minLength": 1, "maxLength": MAX_TENANT}
    detector = {"type": "string", "minLength": 1, "maxLength": MAX_DETECTOR}
    text_or_null = {"type": ["string", "null"]}
    return {
        "Label": {"type": "string", "enum": [*taxonomy.labels]},
        "MapRequest": _object(
            "detector output tenant_id",
            detector={**detector, "description": "Name of a detector, see /map/detectors."},
            output={
                "type": "string",
                "minLength": 1,
                "description": "What it said, such as `toxic|hate`; at most 64 KB of UTF-8.",
            },
            tenant_id=tenant,
            metadata={"type": "object", "description": "Not used."},
        ),
        "MapResponse": _object(
            "taxonomy scores confidence notes provenance version_info",
            taxonomy={
                "type": "array",
                "items": _ref("Label"),
                "minItems": 1,
                "uniqueItems": True,
            },
            scores={
                "type": "object",
                "propertyNames": _ref("Label"),
                "additionalProperties": _SHARE,
                "minProperties": 1,
            },
            confidence=_SHARE,
            notes={"type": "string", "maxLength": 500},
            provenance=_object(
                "detector tenant_id source fallback_reason request_id",
                detector=detector,
                tenant_id=tenant,
                source={"enum": ["model", "rules"]},
                fallback_reason={
                    "enum": [*REASONS, None],
                    "description": "Why the rules mapped although a model was to.",
                },
                request_id=_TEXT,
            ),
            policy_context=_object(
                "controls",
                controls={
                    "type": "array",
                    "description": "Controls of the frameworks that the labels touch.",
                    "items": _object(
                        "label framework control",
                        label=_ref("Label"),
                        framework=_TEXT,
                        control=_TEXT,
                    ),
                },
            ),
            version_info=_object(
                "taxonomy detector model router",
                taxonomy=_TEXT,
                detector=text_or_null,
                model=text_or_null,
                router=_TEXT,
            ),
        ),
        "BatchRequest": _object(
            "requests",
            requests={
                "type": "array",
                "items": _ref("MapRequest"),
                "minItems": 1,
                "maxItems": MAX_BATCH,
            },
        ),
        "BatchResponse": _object(
            "results errors",
            results={
                "type": "array",
                "description": "One entry per request, in order; null where `errors` has its "
                "index.",
                "items": {"oneOf": [_ref("MapResponse"), {"type": "null"}]},
            },
            errors={
                "type": "array",
                "items": _object(
                    "index error detector",
                    index={"type": "integer", "minimum": 0},
                    error=_ref("Error"),
                    detector=text_or_null,
                ),
            },
        ),
        "Error": _object(
            "error_code message request_id retryable",
            error_code={"enum": [code for code, _ in _ERRORS.values()]},
            message=_TEXT,
            request_id=_TEXT,
            retryable={"type": "boolean"},
        ),
    }
