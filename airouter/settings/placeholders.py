"""Placeholders in the configuration file: `${NAME}` and `${NAME:-default}` stand for environment
variables, in `url`, `urls`, `model` and `api_key` of backends."""

import re
from collections.abc import Mapping

import yaml

FIELDS = ("url", "urls", "model", "api_key")
# Not read: the Ollama host that it used to name is decommissioned.
RETIRED = "OLLAMA_BASE_URL"

_PLACEHOLDER = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\{)")
# In place of a malformed one, so that no error about a missing value follows.
_UNREADABLE = dict.fromkeys(("url", "urls"), "http://127.0.0.1:9")
Setting = tuple[str | int, ...]


class Placeholders:
    """Fills the placeholders of one file. Mutable state: what was found in it.

    A value without `${` stays as it is. In others, `$$` is a literal dollar. A variable that is
    unset or empty has its default, or is empty.

    Attributes:
        used: the variables that a setting is filled from, by its dotted name.
        mistakes: a sentence for each placeholder that cannot be used.
        refused: the settings that have a placeholder and must not.
    """

    def __init__(self, environ: Mapping[str, str], file: str) -> None:
        self._environ = environ
        self._file = file
        self._original: dict[yaml.ScalarNode, str] = {}  # an alias is the same node
        self.used: dict[str, str] = {}
        self.mistakes: list[str] = []
        self.refused: list[Setting] = []

    def fill(self, root: yaml.Node) -> None:
        """Replace the placeholders in the nodes of a document."""
        self._walk(root, (), ())

    def _walk(self, node: yaml.Node, setting: Setting, above: tuple[yaml.Node, ...]) -> None:
        if node in above:  # an alias of a node that contains it
            return
        above = (*above, node)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else "?"
                merged = key.tag == "tag:yaml.org,2002:merge"
                if "${" in name:
                    self._refuse(key, (*setting, name))
                self._walk(value, setting if merged else (*setting, name), above)
        elif isinstance(node, yaml.SequenceNode):
            for index, each in enumerate(node.value):
                # `<<: [*a, *b]` merges mappings: each has the place of the mapping around it.
                place = setting if isinstance(each, yaml.MappingNode) else (*setting, index)
                self._walk(each, place, above)
        elif isinstance(node, yaml.ScalarNode):
            self._scalar(node, setting)

    def _scalar(self, node: yaml.ScalarNode, setting: Setting) -> None:
        text = self._original.setdefault(node, node.value)
        if "${" not in text:
            return
        listed = len(setting) == 4 and setting[2] == "urls"
        if setting[0] == "backends" and (listed or (len(setting) == 3 and setting[2] in FIELDS)):
            node.value = self._filled(text, node, setting)
        else:
            self._refuse(node, setting)

    def _filled(self, text: str, node: yaml.ScalarNode, setting: Setting) -> str:
        malformed = False
        names: list[str] = []

        def value(found: re.Match[str]) -> str:
            nonlocal malformed
            dollar, name, default = found.groups()
            if dollar:
                return "$"
            if name is None:
                malformed = True
                return ""
            names.append(name)
            said = self._environ.get(name, "").strip() if name != RETIRED else ""
            return said or (default or "").replace("$$", "$")

        filled = _PLACEHOLDER.sub(value, text)
        if names:
            self.used[".".join(map(str, setting))] = ", ".join(dict.fromkeys(names))
        if malformed:
            self._mistake(
                node,
                setting,
                "a placeholder has the form ${NAME} or ${NAME:-default}; write $${ for a "
                "literal ${.",
            )
            return _UNREADABLE.get(str(setting[2]), "unreadable")
        return filled

    def _refuse(self, node: yaml.Node, setting: Setting) -> None:
        self.refused.append(setting)
        self._mistake(
            node,
            setting,
            "placeholders such as ${NAME} are read only in url, urls, model and api_key of "
            "backends; "
            "write the value itself.",
        )

    def _mistake(self, node: yaml.Node, setting: Setting, what: str) -> None:
        line = node.start_mark.line + 1
        where = ".".join(map(str, setting))
        sentence = f"{self._file}, line {line}: {where}: {what}"
        if sentence not in self.mistakes:
            self.mistakes.append(sentence)
