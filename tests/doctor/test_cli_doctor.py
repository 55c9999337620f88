"""`python -m airouter doctor`, whole, against the simulator."""

from __future__ import annotations

import io
import json
import sys

import pytest
import yaml

from airouter.__main__ import main
from airouter.cli import doctor as command
from tests.doctor.conftest import KINDS

KEY = "key-of-the-doctor-1"


def configure(bare, kinds, tmp_path, text=None, **environ):
    """A configuration of every role, or this one."""
    if text is None:
        backends = {
            role: {"kind": kind, "url": kinds.url(role), "vision": True}
            for role, kind in KINDS.items()
        }
        backends["xai"] |= {"local": False, "api_key": KEY}
        text = yaml.safe_dump(
            {
                "backends": backends,
                "routes": {"primary": {"backends": ["primary", "ollama"]}},
                "embeddings": "embedding",
                "enrichment": {"backend": "xai"},
                "cascade": {"one_token": {"backend": "router"}},
            }
        )
    path = tmp_path / "router.yaml"
    path.write_text(text)
    for name, value in {"ROUTER_CONFIG": str(path), **environ}.items():
        bare.setenv(name, value)


def answered(capsys, *arguments):
    """The exit status, and what was printed as JSON."""
    status = main(["doctor", "--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def errors(data):
    return [f["backend"] for f in data["findings"] if f["level"] == "error"]


def test_a_configuration_that_works(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path)
    status, data = answered(capsys, "--yes")
    assert (status, errors(data)) == (0, [])
    assert {name: b["skipped"] for name, b in data["backends"].items()} == dict.fromkeys(KINDS)


def test_a_terminal_gets_tables(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path)
    assert main(["doctor", "--yes"]) == 0
    printed = capsys.readouterr().out
    assert "thinking_switch" in printed
    assert "TTFT" in printed
    assert KEY not in printed


def test_a_cloud_is_not_asked_without_consent(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path)
    status, data = answered(capsys)
    assert status == 0
    assert "--yes" in data["backends"]["xai"]["skipped"]
    assert kinds.stats("xai")["by_path"] == {}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("said", "asked"), [("y\n", True), ("\n", False), ("", False)])
def test_at_a_terminal_it_asks(kinds, bare, tmp_path, capsys, said, asked):
    configure(bare, kinds, tmp_path)
    bare.setattr(sys, "stdin", Terminal(said))
    bare.setattr(sys, "stderr", Terminal())
    _, data = answered(capsys)
    assert (data["backends"]["xai"]["skipped"] is None) == asked
    assert "[y/N]" in sys.stderr.getvalue()


def test_what_cannot_work_is_an_error(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path, PRIMARY_MODEL="absent")
    kinds.fault("ollama", "error_status", status=401, path="*")
    kinds.fault("embedding", "error_status", status=404, path="/v1/embeddings")
    status, data = answered(capsys)
    assert status == 1
    assert sorted(errors(data)) == ["embedding", "ollama", "primary"]
    of_primary = next(f for f in data["findings"] if f["backend"] == "primary")
    assert yaml.safe_load(of_primary["yaml"]) == {
        "backends": {"primary": {"model": "primary-model"}}
    }
    assert of_primary["sentence"].endswith("PRIMARY_MODEL sets it now.")


def test_one_backend_by_its_url(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path)
    status, data = answered(capsys, kinds.url("ollama") + "/v1")
    assert status == 0
    assert list(data["backends"]) == ["ollama"]
    assert "configuration" not in data


@pytest.mark.parametrize("role", KINDS)
def test_a_proposed_configuration_passes(kinds, bare, tmp_path, capsys, role):
    """check-config accepts it, and the doctor finds nothing wrong with it."""
    keyed = role == "xai"
    bare.setenv("MY_KEY", KEY)
    more = ("--key-env", "MY_KEY") if keyed else ()
    status, data = answered(capsys, kinds.url(role), *more)
    assert (status, data["findings"]) == (0, [])
    configuration = data["configuration"]
    assert yaml.safe_load(configuration)["embeddings"]
    configure(bare, kinds, tmp_path, configuration, **({"XAI_API_KEY": KEY} if keyed else {}))
    assert main(["check-config"]) == 0
    assert KEY not in capsys.readouterr().out
    status, data = answered(capsys, "--yes")
    assert (status, errors(data)) == (0, [])
    warnings = [f["sentence"] for f in data["findings"] if f["level"] == "warning"]
    # The classifier answers everything with a label.
    assert warnings == [] or (role == "router" and "follows no JSON schema" in warnings[0])
    assert all(b["skipped"] is None for b in data["backends"].values())


@pytest.mark.parametrize(
    ("fault", "params"),
    [("error_status", {"status": 404}), ("html", {}), ("reset", {}), ("empty_200", {})],
)
def test_a_server_that_does_not_answer(kinds, bare, capsys, fault, params):
    kinds.fault("primary", fault, path="*", **params)
    status, data = answered(capsys, kinds.url("primary"))
    assert (status, data["configuration"]) == (1, "")
    assert "It does not answer: " in data["findings"][0]["sentence"]


def test_a_server_of_embeddings_alone(kinds, bare, capsys):
    kinds.fault("embedding", "error_status", status=404, path="/v1/chat/completions")
    status, data = answered(capsys, kinds.url("embedding"))
    assert (status, data["configuration"], errors(data)) == (0, "", [])
    assert yaml.safe_load(data["findings"][0]["yaml"]) == {
        "backends": {"embedding": {"kind": "vllm", "url": kinds.url("embedding")}},
        "embeddings": "embedding",
    }


def test_a_server_that_wants_a_key(kinds, bare, capsys):
    status, data = answered(capsys, kinds.url("xai"))
    assert status == 1
    assert "--key-env" in data["findings"][0]["sentence"]


def test_a_foreign_server_is_a_cloud(bare, capsys, monkeypatch):
    monkeypatch.setattr(command, "is_local", lambda url: False)
    status, data = answered(capsys, "http://127.0.0.1:9")
    assert status == 0
    assert "--yes" in data["backends"]["server"]["skipped"]


@pytest.mark.parametrize(
    "arguments",
    [("ftp://a",), ("http://user:password@a.test",), ("http://a", "--key-env", "ABSENT"), ("",)],
)
def test_arguments_that_cannot_be_used(bare, capsys, arguments):
    assert main(["doctor", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ai-router: ")
    assert said.count("\n") == 1
    assert "password" not in said


def test_nothing_is_configured(bare, capsys):
    assert main(["doctor"]) == 1
    assert "PRIMARY_URL" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "many"])
def test_a_limit_that_is_none(bare, capsys, limit):
    with pytest.raises(SystemExit):
        main(["doctor", "--limit", limit])


def test_a_backend_that_hangs_costs_its_limit(kinds, bare, tmp_path, capsys):
    configure(bare, kinds, tmp_path)
    kinds.fault("primary", "hang", path="*")
    status, data = answered(capsys, "--limit", "5")
    assert status == 1
    assert errors(data) == ["primary"]
