"""Settings from an environment and a file that a test names."""

from functools import reduce
from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings

NOTHING = Path("/nonexistent")
MINIMAL = {"PRIMARY_URL": "http://127.0.0.1:8000"}


def load(environ=None, file=None, secrets_dir=NOTHING):
    return load_settings(MINIMAL | (environ or {}), file=file, secrets_dir=secrets_dir)


def value_at(settings, dotted):
    return reduce(
        lambda at, name: at[name] if isinstance(at, dict) else getattr(at, name),
        dotted.split("."),
        settings,
    )


def sentence(environ=None, text=None, tmp_path=None):
    file = None
    if text is not None:
        file = tmp_path / "own.yaml"
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(
            MINIMAL | (environ or {}) if text is None else (environ or {}),
            file=file,
            secrets_dir=NOTHING,
        )
    message = caught.value.message
    heading, *lines = message.splitlines()
    assert not lines or heading == f"The configuration has {len(lines)} errors:"
    for line in lines or [heading]:
        assert line[-1] in ".?"
    assert "pydantic" not in message
    return message
