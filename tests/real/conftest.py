"""A real inference server with a model made on the spot, and the router before it. Only with `-m
real`: `make test-real`."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.processes import free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-real" / "bin" / "python"
START_LIMIT = 60
STOP_LIMIT = 20


def pytest_collection_modifyitems(config, items):
    """Not by default: it needs a compiled server. `-m real` asks for it."""
    if "real" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("real")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class Served:
    """A process that listens on a port of its own, and how it is asked."""

    def __init__(self, command, output, environ, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def until_up(self, path):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.ask("GET", path)[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"did not start: {self.output.read_text()[-2000:]}")

    def open(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {"Content-Type": "application/json"},
        )
        return connection, connection.getresponse()

    def ask(self, method, path, body=None):
        connection, response = self.open(method, path, body)
        try:
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(STOP_LIMIT)


def plain_environment(**more):
    return {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    } | more


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    if not PYTHON.exists():
        pytest.fail("There is no .venv-real; `make test-real` makes it.")
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([PYTHON, HERE / "tiny_model.py", path], check=True, timeout=60)
    return path


@contextmanager
def llama(model_file, output, **more):
    """llama.cpp's server, up; `more`: options beside those that all have."""
    port = free_port()
    # interrupt_requests: else a second request ends the first one's stream.
    options = {
        "interrupt_requests": False,
        "model": model_file,
        "model_alias": "tiny",
        "host": "127.0.0.1",
        "port": port,
        "n_ctx": 2048,
        "n_threads": 1,
    }
    command = [PYTHON, "-m", "llama_cpp.server"]
    for name, value in (options | more).items():
        command += [f"--{name}", str(value)]
    served = Served(command, output, plain_environment(), port)
    try:
        yield served.until_up("/v1/models")
    finally:
        served.stop()


@pytest.fixture(scope="module")
def server(model_file, tmp_path_factory):
    with llama(model_file, tmp_path_factory.mktemp("server") / "output.txt") as served:
        yield served


@pytest.fixture(scope="module")
def router(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("router")
    port = free_port()
    config = folder / "router.yaml"
    config.write_text(
        "backends: {primary: {kind: openai, slots: 1, date_context: true, "
        f"url: '{server.url}'}}}}\n"
        "routes: {primary: {backends: [primary]}}\n"
        "enrichment: {backend: primary}\n"
        "cascade: {tiers: [rules], reasoning: {backend: primary}}\n"
        "queue: {hold_wait: 2}\n"  # by default requests wait a minute for a server that is gone
    )
    environ = plain_environment(
        ROUTER_CONFIG=str(config), LOG_DIR=str(folder / "logs"), PORT=str(port)
    )
    served = Served(
        [sys.executable, "-m", "airouter", "serve"], folder / "output.txt", environ, port
    )
    served.log_dir = folder / "logs"
    try:
        yield served.until_up("/health")
    finally:
        assert served.stop() == 0
    assert "Traceback" not in served.output.read_text()
