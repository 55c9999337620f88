"""Generates a deterministic value that conforms to a JSON schema, for tool arguments and structured
answers."""

from __future__ import annotations

from typing import Any

_TEXT = "simulated"
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "url": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "simulated.example.com",
}
_DEEPEST = 4  # schemas may be recursive: below this depth, only required properties


def value_for(schema: Any, root: Any = None, text: str = _TEXT, depth: int = 0) -> Any:
    """A value for a schema; `text` is used for free strings.

    Supports types, properties, items, enum, const, default, bounds, the common formats, anyOf,
    oneOf, allOf and references within the schema. Patterns are not supported.
    """
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if not isinstance(schema, dict) or depth > 2 * _DEEPEST:
        return text  # `true`: anything fits
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    for name in ("anyOf", "oneOf"):
        options = schema.get(name)
        if isinstance(options, list) and options:
            rest = {key: item for key, item in schema.items() if key != name}
            chosen = next((o for o in options if not _is_null(_resolved(o, root))), options[0])
            return value_for(_merged([rest, _resolved(chosen, root)]), root, text, depth + 1)
    parts = schema.get("allOf")
    if isinstance(parts, list) and parts:
        rest = {key: item for key, item in schema.items() if key != "allOf"}
        return value_for(
            _merged([rest, *(_resolved(part, root) for part in parts)]), root, text, depth + 1
        )
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    if kind == "object":
        return _object(schema, root, text, depth)
    if kind == "array":
        return _array(schema, root, text, depth)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _string(schema, text)


def _resolved(schema: Any, root: Any) -> Any:
    """The target of a reference within the schema; external references accept any value."""
    for _ in range(8):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        target: Any = root if reference.startswith("#") else None
        for part in reference.removeprefix("#").split("/"):
            if part:
                name = part.replace("~1", "/").replace("~0", "~")
                target = target.get(name) if isinstance(target, dict) else None
        schema = target
    return None


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _merged(schemas: list[Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for schema in schemas:
        for name, item in schema.items() if isinstance(schema, dict) else ():
            before = result.get(name)
            if name == "properties" and isinstance(before, dict) and isinstance(item, dict):
                result[name] = {**before, **item}
            elif name == "required" and isinstance(before, list) and isinstance(item, list):
                result[name] = [*before, *item]
            else:
                result[name] = item
    return result


def _object(schema: dict[str, Any], root: Any, text: str, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    required = schema.get("required")
    names = list(properties) if isinstance(properties, dict) else []
    must = (
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    )
    if depth >= _DEEPEST:
        names = [name for name in names if name in must]
    known = properties if isinstance(properties, dict) else {}
    return {
        name: value_for(known.get(name), root, text, depth + 1)
        for name in dict.fromkeys([*names, *must])
    }


def _array(schema: dict[str, Any], root: Any, text: str, depth: int) -> list[Any]:
    first = schema.get("prefixItems")
    if isinstance(first, list) and first:
        return [value_for(item, root, text, depth + 1) for item in first]
    least = schema.get("minItems")
    count = least if isinstance(least, int) and least > 0 else 0
    if not count and depth < _DEEPEST and schema.get("maxItems") != 0 and "items" in schema:
        count = 1
    if schema.get("uniqueItems") and count > 1:
        return _different(schema.get("items"), root, text, depth, count)
    return [value_for(schema.get("items"), root, text, depth + 1) for _ in range(min(count, 100))]


def _different(items: Any, root: Any, text: str, depth: int, count: int) -> list[Any]:
    """The given number of distinct values, as far as possible."""
    schema = _resolved(items, root)
    choices = schema.get("enum") if isinstance(schema, dict) else None
    if isinstance(choices, list):
        return choices[:count]
    value = value_for(schema, root, text, depth + 1)
    if isinstance(value, str):
        return [value, *(f"{value} {i}" for i in range(2, count + 1))]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value + i for i in range(count)]
    return [value]


def _number(schema: dict[str, Any], whole: bool) -> int | float:
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    lows = [bound for bound in (low, above) if bound is not None]
    highs = [bound for bound in (high, below) if bound is not None]
    value: float = 1 if whole else 1.5
    if lows and highs and not (max(lows) < value < min(highs)):
        value = (max(lows) + min(highs)) / 2
    elif lows and value <= max(lows):
        value = max(lows) + 1
    elif highs and value >= min(highs):
        value = min(highs) - 1
    if low is not None and low == high:
        value = low
    step = schema.get("multipleOf")
    if isinstance(step, int | float) and step > 0:
        value = round(value / step) * step
        if lows and value < max(lows):
            value += step
    if whole:
        value = int(value) if value == int(value) else int(value // 1) + (value > 0)
        value -= bool(highs) and value > min(highs)
    return value


def _bound(schema: dict[str, Any], name: str) -> int | float | None:
    value = schema.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _string(schema: dict[str, Any], text: str) -> str:
    value = _FORMATS.get(str(schema.get("format")), text)
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(value) < least:
        value = (value + " " + _TEXT * (min(least, 10_000) // len(_TEXT) + 1))[: min(least, 10_000)]
    if isinstance(most, int) and 0 <= most < len(value):
        value = value[:most]
    return value
