"""vLLM as a process of its own, and a tap between it and the router that records what passes."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import requests
from harness import eventually

from simulator.processes import children, die_with_parent, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv-real-vllm" / "bin" / "python"
START_LIMIT = 600.0  # seconds; 26 to 77 on two cores, and many more where others keep them busy
WINDOW = 4096  # tokens, one per byte
SEQUENCES = 4
PARSERS = (
    "--enable-auto-tool-choice",
    *("--tool-call-parser", "hermes"),
    *("--reasoning-parser", "qwen3"),
)


class Engine:
    """One vLLM server, on a port that it keeps over restarts."""

    def __init__(self, folder: Path, model: Path, *flags: str, name: str = "tiny") -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.flags = flags
        self.output = folder / "output.txt"
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.trust_env = False

    def start(self) -> Engine:
        """Start it and return at once; nothing listens on its port for the next half minute."""
        command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(self._model), "--served-model-name", self.name]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32"]
        command += ["--max-model-len", str(WINDOW), "--max-num-seqs", str(SEQUENCES)]
        command += ["--enforce-eager", *self.flags]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ = kept | {
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_NO_USAGE_STATS": "1",
        }
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its engine can be ended with it
                preexec_fn=die_with_parent,
            )
        return self

    def until_up(self) -> Engine:
        deadline = time.monotonic() + START_LIMIT
        while not self.is_up:
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"vLLM did not start: {self.output.read_text()[-3000:]}")
            time.sleep(0.2)
        return self

    def warm(self) -> Engine:
        """Have its grammar library loaded, for which the first constrained answer takes seconds."""
        ask = {
            "model": self.name,
            "messages": [{"role": "user", "content": "apricot"}],
            "max_tokens": 1,
            "structured_outputs": {"choice": ["SIMPLE", "COMPLEX"]},
        }
        assert self.post("/v1/chat/completions", ask).status_code == 200
        return self

    @property
    def is_up(self) -> bool:
        with suppress(requests.RequestException):
            return self._http.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    @property
    def core(self) -> int:
        """The process that computes, behind the one that speaks HTTP."""
        assert self._process is not None
        for pid in children(self._process.pid):
            with suppress(OSError):
                if b"EngineCore" in Path(f"/proc/{pid}/comm").read_bytes():
                    return pid
                if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise AssertionError("vLLM has no process EngineCore")

    def send(self, number: int) -> None:
        """To all of its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    def post(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self._http.post(self.url + path, json=body, timeout=120, **options)

    def get(self, path: str) -> requests.Response:
        return self._http.get(self.url + path, timeout=30)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels; `name` without `vllm:`."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == f"vllm:{name}" and all(
                f'{key}="{text}"' in sample for key, text in labels.items()
            ):
                total += float(value)
        return total

    @property
    def running(self) -> int:
        return int(self.metric("num_requests_running") + self.metric("num_requests_waiting"))

    @property
    def generated(self) -> int:
        return int(self.metric("generation_tokens_total"))

    def idle(self, limit: float = 10.0) -> None:
        """Wait until it computes nothing."""
        eventually(lambda: self.running == 0, limit, "vLLM still computes")


class Tap:
    """Passes bytes between the router and vLLM as they are, and keeps them.

    `cut_after`: so many bytes of the next answer, then its connection breaks, once.
    """

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._connections: list[tuple[bytearray, bytearray]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                asked, answered = bytearray(), bytearray()
                self._connections.append((asked, answered))
                for way in ((near, far, asked, False), (far, near, answered, True)):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(
        self, source: socket.socket, sink: socket.socket, kept: bytearray, answer: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                cut = self.cut_after if answer else None
                if cut is not None and len(kept) + len(data) > cut:
                    sink.sendall(data[: cut - len(kept)])
                    self.cut_after = None
                    break
                kept += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """What has passed so far."""
        for asked, answered in self._connections:
            asked.clear()
            answered.clear()

    def asked(self, path: str = "/v1/chat/completions") -> list[dict[str, Any]]:
        """The bodies that were sent to a path."""
        found = []
        for asked, _ in self._connections:
            rest = bytes(asked)
            while rest:
                head, _, rest = rest.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                fields = {line.partition(":")[0].lower(): line.partition(":")[2] for line in lines}
                length = int(fields.get("content-length", 0))
                body, rest = rest[:length], rest[length:]
                if lines[0].split(" ")[1:2] == [path] and body:
                    found.append(json.loads(body))
        return found

    def answers(self) -> list[bytes]:
        """The bodies that came back, of all connections."""
        return [body for _, answered in self._connections for body in _bodies(bytes(answered))]

    def close(self) -> None:
        self._listening.close()


class _Wire(io.BytesIO):
    """As much of a socket as HTTPResponse wants."""

    def makefile(self, *_: Any) -> _Wire:
        return self

    def close(self) -> None:
        pass


def _bodies(data: bytes) -> list[bytes]:
    wire, found = _Wire(data), []
    while wire.tell() < len(data):
        response = HTTPResponse(wire)  # type: ignore[arg-type]
        response.begin()
        found.append(response.read())
    return found


@contextmanager
def tapped(engine: Engine) -> Iterator[Tap]:
    tap = Tap(engine.port)
    try:
        yield tap
    finally:
        tap.close()
