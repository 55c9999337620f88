"""Reads the mapper's YAML files; each mistake in one is a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from airouter.domain.errors import ConfigError

# libyaml's loader is ten times as fast, where PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Entry = TypeVar("_Entry", bound="Entry")


class Entry(BaseModel):
    """Part of a file: immutable, without unknown keys. Types are strict, because YAML takes the
    unquoted words `no` and `on` for booleans."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read(path: Path, model: type[_Entry]) -> _Entry:
    """The file's content.

    Raises:
        ConfigError: the file is missing, not YAML, or has other content than `model`; one line per
            mistake.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8-sig"))
        try:
            root = loader.get_single_node()
            problems = list(_set_twice(root))
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {type(error).__name__}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "syntax error"
        raise ConfigError(f"{path}{line} is not valid YAML: {why}.") from None
    if not problems:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems = [
                f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}."
                for found in error.errors(include_url=False, include_input=False)
            ]
    raise ConfigError("\n".join(f"{path}: {problem}" for problem in problems))


def _set_twice(node: yaml.Node | None) -> Iterator[str]:
    """Keys that a mapping has twice; PyYAML would take the last of them."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _set_twice(item)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in first:
            yield f"{key.value!r} is set twice, in lines {first[key.value]} and {line}."
        elif isinstance(key, yaml.ScalarNode):
            first[key.value] = line
        yield from _set_twice(value)
