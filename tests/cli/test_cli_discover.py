"""`python -m airouter discover`, whole, against the simulator."""

from __future__ import annotations

import os
import socket

import pytest
import yaml

from airouter.__main__ import main
from airouter.cli import discover as command
from airouter.discover import ports as looking
from simulator.testing import Simulator

ROLES = ("router", "primary", "embedding", "ollama", "xai")
MODELS = {"primary": "big-32b", "router": "small-3b", "ollama": "other-14b", "embedding": "bge-m3"}


@pytest.fixture(scope="module")
def simulator():
    with Simulator(roles=ROLES, models=MODELS) as running:
        yield running


@pytest.fixture
def only(bare, monkeypatch):
    """No port but those that a test names: others belong to this machine."""
    monkeypatch.setattr(command, "USUAL_PORTS", {})
    monkeypatch.setattr(looking, "_CONNECT_LIMIT", 5)
    return bare


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_configuration_is_written_that_check_config_accepts(only, simulator, tmp_path, capsys):
    """Also to a file; never over another one."""
    ports = {role: simulator.port(role) for role in ROLES}
    listed = ",".join(map(str, [*ports.values(), closed_port()]))
    assert main(["discover", "--ports", listed, "--limit", "30"]) == 0
    printed = capsys.readouterr()
    for role, model in MODELS.items():
        kind = "Ollama" if role == "ollama" else "vLLM"
        assert f"  {ports[role]}: {kind} 0.12.1, 1 model\n" in printed.err
        assert f"#   {model}: " in printed.out
    assert f"  {ports['xai']}: a server of an unknown kind, wants a key\n" in printed.err
    assert printed.err.count("\n") == 1 + len(ROLES)
    backends = yaml.safe_load(printed.out)["backends"]
    other = f"ollama-{ports['ollama']}"
    assert {name: (each["kind"], each["model"]) for name, each in backends.items()} == {
        "primary": ("vllm", "big-32b"),
        "router": ("vllm", "small-3b"),
        "embedding": ("vllm", "bge-m3"),
        other: ("ollama", "other-14b"),
    }
    only.chdir(tmp_path)
    assert main(["discover", "--ports", listed, "--output", "own.yaml", "--limit", "30"]) == 0
    assert (tmp_path / "own.yaml").read_text() == printed.out
    only.setenv("ROUTER_CONFIG", str(tmp_path / "own.yaml"))
    assert main(["check-config"]) == 0
    assert "primary, then " + other in capsys.readouterr().out
    only.chdir(tmp_path)
    again = ("discover", "--ports", listed, "--output", "own.yaml")
    assert main(again) == 1
    assert capsys.readouterr().err == (
        f"ai-router: {tmp_path / 'own.yaml'} exists; --force replaces it.\n"
    )
    only.chdir(tmp_path)
    assert main([*again, "--force", "--limit", "30"]) == 0


def test_nothing_is_found(only, capsys):
    port = closed_port()
    assert main(["discover", "--ports", str(port)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"ai-router: no model server was found on 127.0.0.1; tried the ports {port}. Start" in (
        printed.err
    )


def test_a_server_without_chat_and_one_that_hangs(only, simulator, capsys):
    port = simulator.port("embedding")
    assert main(["discover", "--ports", str(port)]) == 1
    assert f"no local chat model is listed by http://127.0.0.1:{port}; " in capsys.readouterr().err
    simulator.fault("router", "hang", path="*")
    try:
        assert main(["discover", "--ports", str(simulator.port("router")), "--limit", "1"]) == 1
    finally:
        simulator.clear_faults("router")
    assert "no model server was found" in capsys.readouterr().err


def test_the_router_itself_is_not_asked(only, simulator, capsys):
    port = simulator.port("primary")
    only.setenv("AIROUTER_PORT", str(port))
    assert main(["discover", "--ports", str(port)]) == 1
    assert "no model server was found" in capsys.readouterr().err
    only.setenv("AIROUTER_PORT", "many")  # a configuration that is not valid
    assert main(["discover", "--ports", f"{port},8002"]) == 0
    assert f"ports {port} …" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "8.8.8.8"), "not in a private network"),
        (("--host", "http://h"), "not a host name"),
        (("--host", "a b"), "not a host name"),
        (("--output", "/nonexistent/router.yaml", "--ports", "{port}"), "cannot be written"),
        (("--output", os.devnull), "--force"),
    ],
)
def test_arguments_that_cannot_be_used(only, simulator, capsys, arguments, said):
    filled = [each.replace("{port}", str(simulator.port("primary"))) for each in arguments]
    assert main(["discover", *filled]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("ai-router: ")
    assert said in last


@pytest.mark.parametrize("ports", ["0", "65536", "a", "9-8", "1-2000", "1-600,601-1200"])
def test_ports_that_are_none(bare, capsys, ports):
    with pytest.raises(SystemExit):
        main(["discover", "--ports", ports])
    assert "argument --ports: " in capsys.readouterr().err


def test_ports_and_ranges():
    assert list(command._ports("8001, 9000-9002,")) == [8001, 9000, 9001, 9002]
    assert {8000, 11434, 8080, 1234, 30000, 3000} == set(looking.USUAL_PORTS)
