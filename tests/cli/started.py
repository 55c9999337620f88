"""A command as a process, and what the tests of the command line share."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import measured

from airouter.settings.load import ROOT
from simulator.processes import free_port

EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
PRIMARY = {"PRIMARY_URL": "http://127.0.0.1:9"}  # the discard port: nothing answers
LIMIT = 40


def configure(bare, **environ):
    for name, value in environ.items():
        bare.setenv(name, value)


class Started:
    """A command as a process of its own; all that descend from it are known by a variable in their
    environment."""

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
            "KEYS_FILE": str(folder / "keys.yaml"),
            "PORT": str(self.port),
            "AIROUTER_TEST": self.mark.partition("=")[2],
            **measured.ENVIRON,
        }
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=kept | environ,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

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
        """Process ids with the mark; [] where there is no /proc to look into."""
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
