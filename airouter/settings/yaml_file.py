"""Reads the configuration file; each error in its YAML is reported as one sentence."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from airouter.domain.errors import ConfigError

_warned: set[str] = set()


class _Loader(yaml.SafeLoader):
    """Warns about duplicate keys, of which PyYAML silently takes the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Checked before keys are merged in by `<<`, which the mapping may override.
        node = super().compose_mapping_node(anchor)
        assert isinstance(node, yaml.MappingNode)
        first: dict[str, int] = {}
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in first:
                _warn(
                    f"{self.name}: {key.value!r} is set twice, in lines {first[key.value]} and "
                    f"{line}; the later one is used."
                )
            first[key.value] = line
        return node


def read_yaml(path: Path, prepare: Callable[[yaml.Node], None] | None = None) -> dict[str, Any]:
    """The mapping in the file; empty if the file is.

    Args:
        prepare: called with the root of the document; it may change the values of scalars.

    Raises:
        ConfigError: the file is missing, unreadable, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"The configuration file {path} does not exist; set ROUTER_CONFIG to an existing file."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"The configuration file {path} is not text in UTF-8.") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"The configuration file {path} cannot be read: {why}.") from None
    try:
        loader = _Loader(text)
        loader.name = path.name
        try:
            root = loader.get_single_node()
            if prepare is not None and root is not None:
                prepare(root)
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", "syntax error")
        hint = ""
        if where and "${" in "".join(text.splitlines()[where.line : where.line + 1]):
            hint = "; within braces, ${NAME} needs quotes"
        raise ConfigError(f"{path}{line} is not valid YAML: {problem}{hint}.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a mapping with sections such as backends: and routes:.")
    return data


def _warn(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        print(f"ai-router: {text}", file=sys.stderr)
