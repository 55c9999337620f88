"""Settings of the keys of clients: `keys` in router.yaml, and the file that `airouter keys`
writes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from airouter.domain.errors import ConfigError
from airouter.domain.keys import DEFAULT, SCOPES, Scope
from airouter.settings.section import Section
from airouter.settings.yaml_file import read_yaml

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_TENANT = 64  # characters


class KeySettings(Section):
    """A key of a client. Its SHA-256 is enough, because a random key cannot be found from it."""

    sha256: str = Field(
        repr=False,
        description="SHA-256 of the key, as 64 hexadecimal digits. The key must be random and "
        "long, such as those of `python -m airouter keys add`.",
    )
    scopes: tuple[Scope, ...] = Field(
        ("chat",),
        description="What it allows: `chat` (inference, models, metrics), `map` (/map*), `admin` "
        "(/admin/*, the dashboard), `content` (with `admin`: prompts and answers on the "
        "dashboard).",
    )
    tenants: tuple[str, ...] = Field(
        (), description="Tenants for which it may call /map. Empty: all."
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Requests served in any 60 seconds; more get a 429. /map counts each tenant "
        "apart. Divided among the workers. None: any number.",
    )

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str) -> str:
        value = value.strip().lower()
        if not _SHA256.fullmatch(value):
            raise ValueError(
                "must be the SHA-256 of the key, 64 hexadecimal digits; `python -m airouter keys "
                "add` makes a key"
            )
        return value

    @field_validator("scopes", mode="before")
    @classmethod
    def _scopes(cls, value: Any) -> Any:
        for scope in value if isinstance(value, list | tuple) else ():
            if scope not in SCOPES:
                raise ValueError(f"unknown scope; the scopes are {', '.join(SCOPES)}")
        if value in ([], ()):
            raise ValueError(f"must list at least one of {', '.join(SCOPES)}")
        return value

    @field_validator("tenants")
    @classmethod
    def _tenants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(0 < len(tenant) <= MAX_TENANT for tenant in value):
            raise ValueError(f"a tenant has 1 to {MAX_TENANT} characters")
        return value


def wrong_id(name: str) -> str:
    """Why it cannot be the id of a key, as the end of a sentence; "" if it can."""
    if name == DEFAULT:
        return f"{DEFAULT!r} is the id of API_KEY; choose another id"
    if not _ID.fullmatch(name):
        return (
            "an id has 1 to 64 letters, digits, '_', '.' and '-', and begins with a letter or digit"
        )
    return ""


def read_keys(path: Path) -> dict[str, KeySettings]:
    """The keys in the file that `airouter keys` writes, by id; none if there is no such file.

    Raises:
        ConfigError: it is not valid; the message has a line for each mistake.
    """
    if not path.exists():
        return {}
    mistakes, found = [], {}
    for name, value in read_yaml(path).items():
        where = f"{path.name}: {name}"
        if not isinstance(value, Mapping):
            mistakes.append(f"{where}: must be a mapping with sha256 and scopes.")
            continue
        try:
            found[str(name)] = KeySettings.model_validate(value)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False):
                setting = ".".join(map(str, (where, *each["loc"])))
                text = each["msg"].removeprefix("Value error, ")
                mistakes.append(f"{setting}: {text[:1].lower()}{text[1:]}.")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def problems(keys: Mapping[str, KeySettings]) -> list[str]:
    """What is wrong with the ids of keys, and which keys are the same; a sentence each."""
    found = [f"keys.{name}: {why}" for name in keys if (why := wrong_id(name))]
    first: dict[str, str] = {}
    for name, key in keys.items():
        other = first.setdefault(key.sha256, name)
        if other != name:
            found.append(f"keys.{name}.sha256: it is the same key as keys.{other}")
    return found
