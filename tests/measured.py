"""Under coverage (`make coverage`), the routers that tests start are measured, too: they are told
to, and end in good order where they would be killed, so that they write what they found."""

import os
import signal

from bench import router_process
from bench.router_process import RouterProcess
from simulator.processes import end

_SETTINGS = "COVERAGE_PROCESS_CONFIG"  # coverage sets it for child processes
MEASURED = _SETTINGS in os.environ
# What a process started with an environment of its own must be given, too.
ENVIRON = {_SETTINGS: os.environ[_SETTINGS]} if MEASURED else {}
_STOP_LIMIT = 4.0  # seconds

if MEASURED:
    router_process._KEPT = (*router_process._KEPT, _SETTINGS)


def kill(router: RouterProcess) -> None:
    """End a router at once; a measured one first has some seconds to write its data."""
    process = router._process
    if MEASURED and process is not None:
        end(process, signal.SIGQUIT, limit=_STOP_LIMIT)
    router.stop(quick=True)
