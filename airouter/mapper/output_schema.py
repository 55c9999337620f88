"""The schema of the model's output: checks an output, and repairs it once where that is safe."""

import re
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from airouter.domain.errors import ConfigError
from airouter.domain.types import immutable
from airouter.mapper.rules import Mapped
from airouter.mapper.taxonomy import Taxonomy

NAME = "schema.json"
REPAIRED = "The model's output was repaired."
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_THINK_END = "</think>"


@immutable
class Checked:
    """`valid`: as it came. `mapped`: what it says, perhaps after the repair; None: nothing that
    can be used."""

    valid: bool
    mapped: Mapped | None


class OutputSchema:
    """Immutable. A label has to be one of the taxonomy, and to have a score, besides what the
    schema says."""

    def __init__(self, schema: dict[str, Any], taxonomy: Taxonomy) -> None:
        self.schema = schema
        self._taxonomy = taxonomy
        self._validator = Draft202012Validator(schema)

    @classmethod
    def load(cls, folder: Path, taxonomy: Taxonomy) -> "OutputSchema":
        """Read `schema.json`.

        Raises:
            ConfigError: it is missing, or no schema.
        """
        path = folder / NAME
        try:
            schema = orjson.loads(path.read_bytes())
            Draft202012Validator.check_schema(schema)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
        except (orjson.JSONDecodeError, SchemaError):
            raise ConfigError(f"{path} is not a JSON schema.") from None
        return cls(schema, taxonomy)

    def check(self, text: str) -> Checked:
        """Check the text of a model's answer."""
        try:
            output = orjson.loads(text)
        except orjson.JSONDecodeError:
            output = None
        if self._is_valid(output):
            return Checked(True, _mapped(output))
        repaired = self._repaired(text)
        if repaired is None or not self._is_valid(repaired):
            return Checked(False, None)
        return Checked(False, _mapped(repaired, REPAIRED))

    def _is_valid(self, output: Any) -> bool:
        if not self._validator.is_valid(output):
            return False
        labels = output["taxonomy"]
        return set(labels) == output["scores"].keys() and all(
            label in self._taxonomy.labels for label in labels
        )

    def _repaired(self, text: str) -> dict[str, Any] | None:
        """What is meant by an object within other text, with names in another case or aliases,
        scores that are missing or too many, further keys. Never a guess at a label or a number."""
        found = _OBJECT.search(text.rpartition(_THINK_END)[2])
        try:
            output = orjson.loads(found[0]) if found else None
        except orjson.JSONDecodeError:
            return None
        if not isinstance(output, dict):
            return None
        labels, scores = output.get("taxonomy"), output.get("scores")
        labels = [labels] if isinstance(labels, str) else labels
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            return None
        names = dict.fromkeys(self._taxonomy.find(label) for label in labels)
        if None in names:
            return None
        given = scores if isinstance(scores, dict) else {}
        by_name = {self._taxonomy.find(name): score for name, score in given.items()}
        confidence = output.get("confidence")
        return {
            "taxonomy": [*names],
            "scores": {name: by_name.get(name, confidence) for name in names},
            "confidence": confidence,
        }


def _mapped(output: dict[str, Any], notes: str = "") -> Mapped:
    """Without the model's notes, which may quote what it was sent."""
    scores, confidence = output["scores"], output["confidence"]
    labels = tuple(output["taxonomy"])
    return Mapped(labels, {label: scores[label] for label in labels}, confidence, notes)
