"""`run`: starts the router and, if no backend is configured, a simulator; both stop together."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any

from airouter.cli.embedded import EmbeddedSimulator, environment, nothing_configured, placeholders
from airouter.cli.launch import COMMAND, INTRODUCED, Check, try_address
from airouter.cli.parent_death import end_with_parent
from airouter.cli.router_client import ask
from airouter.cli.summary import base_url, shown_url, state, table
from airouter.domain.clock import Clock
from airouter.settings.load import ROOT, load_settings
from airouter.settings.schema import Settings
from airouter.telemetry.console import HEADING

_START_LIMIT = 60.0
_STOP_SLACK = 20.0  # more than the slack that gunicorn's graceful_timeout adds to timeouts.drain
_HURRY_LIMIT = 5.0
Signals = SimpleQueue[int]


def run(check: Check) -> int:
    """Run until Ctrl-C or SIGTERM, or until the router or the simulator exits.

    Returns:
        The exit status: 0 after Ctrl-C or SIGTERM, gunicorn's own if it exited by itself.

    Raises:
        ConfigError: the configuration or address is invalid, or the simulator did not start.
    """
    signals = _collect_signals()
    environ = dict(os.environ)
    embedded = nothing_configured(environ)
    if embedded:
        environ |= placeholders()
    settings = load_settings(environ)
    check(settings)
    try_address(settings.server)
    with contextlib.ExitStack() as stack:
        simulator = None
        if embedded:
            print(
                "No backend is configured: starting the embedded simulator. Its answers are made "
                "up; set PRIMARY_URL to use a real backend."
            )
            print("Starting …", flush=True)
            simulator = stack.enter_context(EmbeddedSimulator())
            environ |= environment(simulator.urls)
            settings = load_settings(environ)
        if settings.logging.console is None and settings.logging.format == "text":
            environ["CONSOLE"] = "1"
            settings = load_settings(environ)
        environ[INTRODUCED] = "1"
        return _Router(settings, environ, signals, simulator).run()


def _collect_signals() -> Signals:
    """A queue of signals, so that one wait covers child exit, deadline and Ctrl-C."""
    signals: Signals = SimpleQueue()  # its put() may interrupt its get()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        # Keep an ignored SIGHUP (nohup). An ignored SIGINT is overridden: shells ignore it for all
        # background jobs.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda got, _frame: signals.put(got))
    return signals


class _Router:
    """gunicorn as a child process, from start to end."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        signals: Signals,
        simulator: EmbeddedSimulator | None,
    ) -> None:
        self._settings = settings
        self._signals = signals
        self._simulator = simulator
        self._clock = Clock()
        self._stop_wanted = False
        # A separate session: on Ctrl-C, this process sends it a single, graceful SIGTERM.
        self._process = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(os.getpid()),
        )

    def run(self) -> int:
        try:
            if self._wait_until_up():
                self._introduce()
            while not self._stop_wanted:
                if (code := self._process.poll()) is not None:
                    return code if code >= 0 else 128 - code
                if self._simulator is not None and self._simulator.ended:
                    print("The embedded simulator has exited; stopping.", flush=True)
                    return 1
                self._next_signal(None)
            return 0
        finally:
            self._stop()

    def _next_signal(self, timeout: float | None) -> bool:
        """Wait for one signal; returns whether it requests a stop. SIGCHLD only ends the wait."""
        with contextlib.suppress(Empty):
            if self._signals.get(timeout=timeout) != signal.SIGCHLD:
                self._stop_wanted = True
                return True
        return False

    def _wait_until_up(self) -> bool:
        until = self._clock.monotonic() + _START_LIMIT
        while not self._stop_wanted and self._process.poll() is None:
            if ask(self._settings.server, "/health/liveness", 1) is not None:
                return True
            if self._clock.monotonic() > until:
                print(
                    f"The router has not answered within {_START_LIMIT:g} s; see app.log for the "
                    "reason. It is left running.",
                    flush=True,
                )
                return False
            self._next_signal(0.1)
        return False

    def _introduce(self) -> None:
        """Print one line per backend, an example command and how to stop."""
        answer = ask(self._settings.server, "/health", 10)
        health = answer[1].get("backends", {}) if answer else {}
        rows = [("BACKEND", "URL", "", "")]
        rows += [self._backend_line(name, health.get(name)) for name in self._settings.backends]
        url = base_url(self._settings)
        print(
            f"\nai-router listens on {url}\n\n{table(rows)}\n\nTry it:\n  {self._curl(url)}"
            f"\n\nWatch it:\n  {url}/dashboard"
            "\n\nCtrl-C stops it.",
            flush=True,
        )
        if self._settings.logging.console:
            print(f"\n{HEADING}", flush=True)

    def _backend_line(
        self, name: str, found: Mapping[str, Any] | None
    ) -> tuple[str, str, str, str]:
        usable = self._settings.usable(name)
        how = "embedded" if usable and self._simulator is not None else state(self._settings, name)
        reach = ""
        if usable:
            healthy = bool(found and found.get("healthy"))
            reach = (
                "reachable"
                if healthy
                else f"not reachable: {(found or {}).get('problem') or 'no answer'}"
            )
        return name, shown_url(self._settings.backends[name].url), how, reach

    def _curl(self, url: str) -> str:
        body = json.dumps(
            {
                "model": self._settings.virtual_model,
                "messages": [{"role": "user", "content": "Hello!"}],
            }
        )
        key = "-H 'Authorization: Bearer YOUR_API_KEY' " if self._settings.keyed else ""
        return (
            f"curl {url}/v1/chat/completions {key}-H 'Content-Type: application/json' "
            f"-d {shlex.quote(body)}"
        )

    def _stop(self) -> None:
        """Stop gracefully, letting requests finish; a second signal stops at once."""
        if self._process.poll() is None:
            print(
                "Stopping after requests in flight have finished (Ctrl-C again: stop now).",
                flush=True,
            )
            self._process.terminate()
        until = self._clock.monotonic() + self._settings.timeouts.drain + _STOP_SLACK
        while self._process.poll() is None:
            if self._next_signal(1):
                self._signal_all(signal.SIGQUIT)
                until = min(until, self._clock.monotonic() + _HURRY_LIMIT)
            elif self._clock.monotonic() > until:
                self._signal_all(signal.SIGKILL)
                self._process.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        """Signal gunicorn and its workers: it ignores signals while it waits for its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
