"""The prompts in config/prompts/<role>/*.md, read once at start: a missing one stops the start."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from airouter.errors import ConfigError


def load_prompts(folder: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Read the prompts that the configuration names, e.g. `classifier/system`.

    Raises:
        ConfigError: one is missing or empty; the sentence says which file to write.
    """
    prompts = {}
    for name in names:
        path = folder / f"{name}.md"
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"The prompt name {name!r} leaves the folder {folder}.")
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"The prompt {name!r} is missing: write it to {path}, or change the setting that names it."
            ) from None
        if not text:
            raise ConfigError(
                f"The prompt {path} is empty; write it, or change the setting that names it."
            )
        prompts[name] = text
    return prompts


def date_line(now: datetime) -> str:
    """The date for a model. Day resolution: a clock would make a backend's prefix cache worthless each minute."""
    return _line_for(now.date())


@lru_cache(maxsize=8)  # strftime takes longer than all the rest of composing a request
def _line_for(day: date) -> str:
    return f"Current date: {day:%A}, {day.day} {day:%B} {day.year}."
