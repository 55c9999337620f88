"""`schema.json`: the JSON schema of the model's output, made from the taxonomy.

The scores have a property per label instead of `propertyNames`, which servers that constrain the
decoding by a schema do not all know.
"""

import json
from pathlib import Path
from typing import Any

from airouter.mapper.taxonomy import PATTERN, Taxonomy

NAME = "schema.json"
MOST_NOTES = 500  # characters


def schema(taxonomy: Taxonomy) -> dict[str, Any]:
    """The schema of {taxonomy, scores, confidence, notes}; labels only from the taxonomy."""
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Output of the mapper's model, taxonomy {taxonomy.version}",
        "type": "object",
        "additionalProperties": False,
        "required": ["taxonomy", "scores", "confidence"],
        "properties": {
            "taxonomy": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": PATTERN, "enum": list(taxonomy.labels)},
            },
            "scores": {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "properties": dict.fromkeys(taxonomy.labels, share),
            },
            "confidence": share,
            "notes": {"type": "string", "maxLength": MOST_NOTES},
        },
    }


def text(taxonomy: Taxonomy) -> str:
    """What `schema.json` must contain."""
    return json.dumps(schema(taxonomy), indent=2) + "\n"


def current(folder: Path, taxonomy: Taxonomy) -> bool:
    """Whether the folder's `schema.json` is that of the taxonomy."""
    try:
        return (folder / NAME).read_text(encoding="utf-8") == text(taxonomy)
    except (OSError, UnicodeDecodeError):
        return False
