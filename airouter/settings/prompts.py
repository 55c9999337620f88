"""Loads the prompts in config/prompts/<role>/*.md at startup; startup fails if one is missing."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from airouter.domain.errors import ConfigError


def load_prompts(folder: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Read the prompts used by the configuration, e.g. `classifier/system`.

    Raises:
        ConfigError: a prompt is missing or empty; the message names the file.
    """
    prompts = {}
    for name in names:
        path = folder / f"{name}.md"
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"The prompt name {name!r} points outside the directory {folder}.")
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"The prompt {name!r} is missing; create {path}, or change the setting that "
                "refers to it."
            ) from None
        if not text:
            raise ConfigError(
                f"The prompt {path} is empty; write it, or change the setting that refers to it."
            )
        prompts[name] = text
    return prompts
