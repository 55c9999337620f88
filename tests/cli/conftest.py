"""What the tests of the command line share."""

import pytest

from airouter.settings.load import ENVIRONMENT, ROOT
from tests.cli.started import Started


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """This process without the variables that configure a router."""
    for name in (*ENVIRONMENT, "ROUTER_CONFIG", "API_KEY_FILE", "XAI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("KEYS_FILE", str(tmp_path / "keys.yaml"))
    monkeypatch.chdir(ROOT)
    return monkeypatch


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(*command, **environ):
        started.append(Started(tmp_path, *command, **environ))
        return started[-1]

    yield begin
    for one in started:
        one.clean_up()
