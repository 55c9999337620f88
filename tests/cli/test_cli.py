"""The command line: exit statuses, messages, and processes that start, stop and leave nothing
behind."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from airouter.__main__ import main
from airouter.cli.embedded import nothing_configured
from airouter.cli.summary import base_url, shown_url
from airouter.settings.load import ENVIRONMENT, ROOT, load_settings

EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
PRIMARY = {"PRIMARY_URL": "http://127.0.0.1:9"}  # the discard port: nothing answers
LIMIT = 40


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """Remove the variables that configure a router from the environment."""
    for name in (*ENVIRONMENT, "ROUTER_CONFIG", "API_KEY_FILE", "XAI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.chdir(ROOT)
    return monkeypatch


def configure(bare, **environ):
    for name, value in environ.items():
        bare.setenv(name, value)


class Started:
    """A command in a separate process; its descendants are recognised by an environment
    variable."""

    def __init__(self, folder, *command, **environ):
        self.mark = f"AIROUTER_TEST={uuid.uuid4()}"
        self.port = int(environ.pop("PORT", 0)) or free_port()
        self.output = folder / f"output-{self.port}-{command[-1]}.txt"
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        kept |= {
            "LOG_DIR": str(folder / "logs"),
            "PORT": str(self.port),
            "AIROUTER_TEST": self.mark.partition("=")[2],
        }
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=kept | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def printed(self):
        return self.output.read_text()

    def wait_for(self, look, why):
        deadline = time.monotonic() + LIMIT
        while not (found := look()):
            assert time.monotonic() < deadline, f"{why}: {self.printed()}"
            time.sleep(0.05)
        return found

    def until_up(self):
        self.wait_for(
            lambda: self.get("/health/liveness") or self.process.poll() is not None, "did not start"
        )
        assert self.process.poll() is None, self.printed()
        return self

    def until_introduced(self):
        self.wait_for(
            lambda: "Ctrl-C stops it" in self.printed() or self.process.poll() is not None,
            "did not start",
        )
        assert self.process.poll() is None, self.printed()
        return self

    def get(self, path, method="GET", body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method,
                path,
                json.dumps(body) if body else None,
                {"Content-Type": "application/json"} | (headers or {}),
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError:
            return None
        finally:
            connection.close()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def descendants(self):
        """The ids of its descendants; [] on systems without /proc."""
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in environ.read_bytes().split(b"\0"):
                    found.append(int(environ.parent.name))
            except OSError:
                continue
        return found

    def until_gone(self):
        self.wait_for(lambda: not self.descendants(), "something is left running")

    def clean_up(self):
        for pid in self.descendants() or [self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(LIMIT)


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(*command, **environ):
        started.append(Started(tmp_path, *command, **environ))
        return started[-1]

    yield begin
    for one in started:
        one.clean_up()


# check-config -------------------------------------------------------------------------------------


def test_check_config_shows_what_is_configured_but_no_secret(bare, capsys):
    configure(bare, **PRIMARY, API_KEY="hidden-1", XAI_API_KEY="hidden-2")
    assert main(["check-config"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "hidden" not in printed.out
    assert re.search(r"^router .* not used: no url$", printed.out, re.M)
    assert re.search(r"^primary +vllm +http://127.0.0.1:9 .* configured$", printed.out, re.M)
    assert re.search(r"^xai +COMPLEX +xai$", printed.out, re.M)
    assert re.search(r"^reasoning +skipped: router is not configured$", printed.out, re.M)


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        (PRIMARY | {"PORT": "many"}, "PORT"),
        (PRIMARY | {"CASCADE_TIERS": "rules,magic"}, "'magic'"),
        (PRIMARY | {"ROUTER_CONFIG": "{tmp}/missing-prompt.yaml"}, "'classifier/absent'"),
    ],
)
def test_check_config_says_in_one_sentence_what_is_wrong(bare, capsys, tmp_path, environ, part):
    text = (ROOT / "config" / "router.yaml").read_text()
    (tmp_path / "missing-prompt.yaml").write_text(
        text.replace("{backend: router}", "{backend: router, prompt: classifier/absent}")
    )
    configure(
        bare, **{name: value.replace("{tmp}", str(tmp_path)) for name, value in environ.items()}
    )
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ai-router: ")
    assert printed.err.count("\n") == 1
    assert part in printed.err


@pytest.mark.parametrize(
    ("config", "missing"),
    [("config/router.yaml", "PRIMARY_URL"), ("config/examples/cloud-only.yaml", "XAI_API_KEY")],
)
def test_check_config_without_a_backend_says_what_run_would_do(bare, capsys, config, missing):
    configure(bare, ROUTER_CONFIG=config, PORT="8123")
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert "`make run` would start the embedded simulator" in printed.out
    assert "http://127.0.0.1:8123" in printed.out
    assert printed.err.count("\n") == 1
    assert missing in printed.err


def test_check_config_without_a_backend_still_tells_of_other_mistakes(bare, capsys):
    configure(bare, PORT="many", LOG_LEVEL="LOUD")
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "PORT" in printed.err
    assert "LOG_LEVEL" in printed.err


def test_check_config_tells_of_all_mistakes_a_line_each(bare, capsys):
    configure(bare, **PRIMARY, PORT="many", LOG_LEVEL="LOUD", HOST="0.0.0.0")
    assert main(["check-config"]) == 1
    heading, *lines = capsys.readouterr().err.splitlines()
    assert heading == "ai-router: The configuration has 3 errors:"
    assert len(lines) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_valid_with_the_environment_that_it_names(bare, capsys, example):
    named = re.search(r"^# Environment: (\w+)", example.read_text(), re.M)[1]
    environ = {} if named == "none" else {named: "key"}
    configure(bare, ROUTER_CONFIG=str(example), **environ)
    assert main(["check-config"]) == 0
    assert set(environ) <= set(ENVIRONMENT)
    assert "not configured" not in capsys.readouterr().out
    # A comment that starts with what the file is for, and how it is used.
    assert f"ROUTER_CONFIG=config/examples/{example.name} make run" in example.read_text()


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {
        "vllm-vllm-xai",
        "ollama-only",
        "one-vllm",
        "cloud-only",
    }


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8002"),
        ("::", "http://[::1]:8002"),
        ("127.0.0.1", "http://127.0.0.1:8002"),
        ("::1", "http://[::1]:8002"),
    ],
)
def test_own_address_is_one_that_can_be_reached(host, url):
    assert base_url(load_settings(PRIMARY | {"HOST": host, "API_KEY": "k"})) == url


def test_shown_url_has_no_password():
    assert shown_url("http://user:pw@h:1/base") == "http://h:1/base"


# When a simulator is started ----------------------------------------------------------------------


def test_nothing_is_configured_by_the_shipped_file(tmp_path):
    assert nothing_configured({}, tmp_path)


@pytest.mark.parametrize("name", ["PRIMARY_URL", "ROUTER_URL", "XAI_API_KEY", "XAI_API_KEY_FILE"])
def test_one_variable_is_a_configuration(name, tmp_path):
    assert not nothing_configured({name: "x"}, tmp_path)
    assert nothing_configured({name: ""}, tmp_path)


def test_a_secret_is_a_configuration(tmp_path):
    (tmp_path / "xai_api_key").write_text("k")
    assert not nothing_configured({}, tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_local_url_in_the_file_is_a_configuration(example, tmp_path):
    assert nothing_configured({"ROUTER_CONFIG": str(example)}, tmp_path) is (
        example.stem == "cloud-only"
    )


# Processes ----------------------------------------------------------------------------------------


def test_run_without_a_backend_answers_and_stops(start):
    run = start("airouter", "run", API_KEY="hidden").until_introduced()
    printed = run.printed()
    assert "embedded simulator" in printed
    for name in ("router", "primary", "xai"):
        assert re.search(rf"^{name} +http://127.0.0.1:\d+ +embedded +reachable$", printed, re.M), (
            printed
        )
    assert (
        f"curl http://127.0.0.1:{run.port}/v1/chat/completions -H "
        "'Authorization: Bearer YOUR_API_KEY'" in printed
    )
    assert "hidden" not in printed
    status, answer = run.get(
        "/v1/chat/completions",
        "POST",
        {"model": "ai-router", "messages": [{"role": "user", "content": "Hello!"}]},
        {"Authorization": "Bearer hidden"},
    )
    assert status == 200
    assert "simulated" in answer["choices"][0]["message"]["content"]
    run.get("/v1/chat/completions", "POST", {"messages": 5}, {"Authorization": "Bearer hidden"})
    run.get("/health/liveness")
    console = r"^\d\d:\d\d:\d\d +"
    run.wait_for(
        lambda: len(re.findall(console, run.printed(), re.M)) == 2, "not a line for each request"
    )
    assert re.search(rf"{console}primary +\w+ +primary +\d+ +200$", run.printed(), re.M)
    assert re.search(rf"{console}none +- +- +\d+ +400 client_error$", run.printed(), re.M)
    assert run.end(signal.SIGTERM) == 0
    run.until_gone()
    assert "Traceback" not in run.printed()


@pytest.mark.skipif(sys.platform != "linux", reason="gunicorn is found by looking into /proc")
def test_run_ends_with_gunicorn_and_takes_the_simulator_along(start):
    run = start("airouter", "run").until_introduced()
    master = min(
        pid for pid in run.descendants() if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(master, signal.SIGKILL)
    assert run.process.wait(LIMIT) == 128 + signal.SIGKILL
    run.until_gone()


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent was killed"
)
def test_killed_run_leaves_nothing_behind(start):
    run = start("airouter", "run").until_introduced()
    run.end(signal.SIGKILL)
    run.until_gone()


def test_run_with_a_backend_starts_no_simulator_and_says_what_it_cannot_reach(start):
    run = start("airouter", "run", **PRIMARY).until_introduced()
    printed = run.printed()
    assert "simulator" not in printed
    assert "WARNING" not in printed  # its table says it
    assert re.search(
        r"^primary +http://127.0.0.1:9 +configured +not reachable: \S", printed, re.M
    ), printed
    assert re.search(r"^router +- +not used: no url$", printed, re.M), printed
    assert run.end(signal.SIGINT) == 0
    run.until_gone()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_taken_port_is_said_in_one_sentence(start, command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = start("airouter", command, PORT=str(port), **PRIMARY)
        assert one.process.wait(LIMIT) == 1
    assert one.printed() == (
        f"ai-router: Port {port} on 127.0.0.1 is in use by another "
        f"program; stop it, or choose another port, e.g. PORT={port + 1}.\n"
    )


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_second_start_recognises_the_first(start, command):
    first = start("airouter", "serve", **PRIMARY).until_up()
    second = start("airouter", command, PORT=str(first.port), **PRIMARY)
    assert second.process.wait(LIMIT) == 1
    printed = second.printed()
    assert printed.count("\n") == 1
    assert re.match(
        rf"ai-router: ai-router \S+ is already running on 127\.0\.0\.1, port {first.port};", printed
    )
    assert f"PORT={first.port + 1}" in printed
    assert "another program" not in printed


def test_serve_says_which_backends_do_not_answer_and_serves(start):
    serve = start("airouter", "serve", **PRIMARY).until_up()
    warning = r"^ai-router: WARNING: backend primary at http://127.0.0.1:9 is not reachable: \S"
    serve.wait_for(lambda: re.search(warning, serve.printed(), re.M), "no warning")
    assert serve.get("/health/liveness")[0] == 200
    serve.get("/v1/chat/completions", "POST", {"messages": []})
    assert serve.end() == 0
    assert not re.search(r"^\d\d:\d\d:\d\d ", serve.printed(), re.M)  # no line per request
    assert serve.printed().count("WARNING") == 1


def test_serve_prints_a_line_per_request_if_asked_to(start):
    serve = start("airouter", "serve", **PRIMARY, CONSOLE="1").until_up()
    serve.get("/v1/chat/completions", "POST", {"messages": 5})
    serve.wait_for(lambda: re.search(r" 400 client_error$", serve.printed(), re.M), "no line")


@pytest.mark.parametrize("how", [signal.SIG_IGN, signal.SIG_DFL])
def test_an_interrupt_stops_run_however_its_caller_takes_interrupts(start, how):
    """Shells make background jobs ignore SIGINT."""
    before = signal.signal(signal.SIGINT, how)
    try:
        run = start("airouter", "run", **PRIMARY)
    finally:
        signal.signal(signal.SIGINT, before)
    run.until_introduced()
    assert run.end(signal.SIGINT) == 0
    run.until_gone()


def test_check_config_guesses_at_a_variable_that_is_not_read(bare, capsys):
    configure(bare, **PRIMARY, PRIMARY_MODLE="x", XAI_APIKEY="k", OPENAI_API_KEY="k", MY_PORT="1")
    assert main(["check-config"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "ai-router: PRIMARY_MODLE is not a variable of the router; did you mean PRIMARY_MODEL?",
        "ai-router: XAI_APIKEY is not a variable of the router; did you mean XAI_API_KEY?",
    ]


def test_half_a_configuration_starts_no_simulator(start):
    run = start("airouter", "run", ROUTER_URL="http://127.0.0.1:9")
    assert run.process.wait(LIMIT) == 1
    assert run.printed().count("\n") == 1
    assert "PRIMARY_URL" in run.printed()


def test_gunicorn_does_not_respawn_over_a_broken_configuration(start):
    started = time.monotonic()
    one = start("gunicorn", "-c", "gunicorn.conf.py", **PRIMARY, LOG_LEVEL="LOUD")
    assert one.process.wait(LIMIT) == 1
    assert time.monotonic() - started < 15
    assert one.printed().count("\n") == 1
    assert "LOG_LEVEL" in one.printed()


def test_serve_reloads_a_good_configuration_and_is_spared_a_broken_one(start, tmp_path):
    file = tmp_path / "own.yaml"
    shipped = (ROOT / "config" / "router.yaml").read_text()
    file.write_text(shipped)
    serve = start("airouter", "serve", **PRIMARY, ROUTER_CONFIG=str(file)).until_up()

    def first_model():
        _, models = serve.get("/v1/models") or (0, {"data": [{"id": ""}]})
        return models["data"][0]["id"]

    assert first_model() == "ai-router"

    file.write_text(shipped + "\nvirtual_modle: house\n")
    reload = start(
        "airouter", "reload", PORT=str(serve.port)
    )  # its own configuration is a good one
    assert reload.process.wait(LIMIT) == 1
    assert "Nothing was changed" in reload.printed()
    assert "did you mean 'virtual_model'" in reload.printed()
    assert first_model() == "ai-router"

    file.write_text(shipped + "\nvirtual_model: house\n")
    assert start("airouter", "reload", PORT=str(serve.port)).process.wait(LIMIT) == 0
    serve.wait_for(lambda: first_model() == "house", "did not reload")
    assert serve.end() == 0
    serve.until_gone()


def test_reload_without_a_router(start):
    reload = start("airouter", "reload")
    assert reload.process.wait(LIMIT) == 1
    assert reload.printed().startswith(
        f"ai-router: No router answers at http://127.0.0.1:{reload.port};"
    )
