"""`make test-slo`: the endpoints' tests, with the simulator's roles as endpoints where none is
configured."""

import signal

# The other imports take a second or more: a Ctrl-C meanwhile ends the command, without a traceback.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import os
import subprocess
import sys
from contextlib import ExitStack

from bench.endpoint import simulated
from bench.router_process import ROOT
from bench.slo import endpoint_profile
from simulator.testing import Simulator

_TESTS = "tests/performance/test_llm_endpoint_slo.py"
_ROLES = {
    "coder-14b": "primary",
    "gte-qwen2": "embedding",
    "qwen-72b": "primary",
    "qwen2-vl": "primary",
    "qwen-14b": "ollama",
}
# Slow enough that the machine's own hiccups are small beside it.
_EMBEDDING = {"ttft_ms": [25, 30], "ttft_nonstream_ms": [25, 30]}


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was started is stopped
    profile = endpoint_profile("000")
    # Against the simulator nothing speaks against running in CI, where real endpoints are skipped.
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    with ExitStack() as stack:
        if simulated(profile):
            simulator = stack.enter_context(
                Simulator(profile="homelab", roles=tuple(dict.fromkeys(_ROLES.values())))
            )
            simulator.configure("embedding", **_EMBEDDING)
            environ |= {
                profile.endpoints[name].env: simulator.url(role) for name, role in _ROLES.items()
            }
        command = [sys.executable, "-m", "pytest", "-m", "llm", "-s", _TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
