"""A client that leaves: how soon does the backend get to know, and stop working for nobody?"""

import time
from contextlib import suppress

from bench.client import Connection
from bench.peers.contender import Contender
from bench.peers.findings import Findings
from bench.stats import percentile
from simulator.testing import Simulator

# (measure, streaming): it leaves while chunks flow, in a silent gap, while it waits for a whole
# answer.
CASES = (("gone_flowing", True), ("gone_silent", True), ("gone_whole", False))
NOTICE_S = 2.0  # not seen by then: it counts as not seen
_TPS, _TOKENS = 50.0, 200  # an answer of 4 s
_GAP_MS = 4000
_SOME_CHUNKS = 4


def measure(
    findings: Findings, contender: Contender, text: str, simulator: Simulator, times: int
) -> None:
    """Median of `times` disconnects of each kind, from the socket closed to the backend's
    connection lost."""
    for name, stream in CASES:
        simulator.reset("primary")
        tokens = [_TOKENS, _TOKENS]
        simulator.configure("primary", tps=_TPS, answer_short=tokens, answer_long=tokens)
        if name == "gone_silent":
            simulator.fault("primary", "stall", after_chunks=_SOME_CHUNKS, ms=_GAP_MS)
        seen: list[float] = []
        missed, problem = 0, ""
        while len(seen) + missed < times and missed < 2 and not problem:
            try:
                took = _once(
                    contender, text, simulator, stream, name == "gone_silent" or not stream
                )
            except OSError as error:
                problem = str(error) or type(error).__name__
                break
            if took is None:
                missed += 1
                _settle(simulator)
            else:
                seen.append(took)
        if seen and not missed:
            findings.set(name, contender.key, percentile(seen, 0.5))
        else:
            unseen = f"not seen by the backend within {NOTICE_S:g} s, {missed} times of {len(seen) + missed}"
            findings.cannot([name], contender.key, problem or unseen)
    simulator.reset("primary")


def _once(
    contender: Contender, text: str, simulator: Simulator, stream: bool, silent: bool
) -> float | None:
    """Seconds from the client's close to the backend's loss of its connection; None when it was not
    seen."""
    assert contender.endpoint is not None
    before = simulator.stats("primary")
    with Connection(contender.endpoint, timeout=10) as connection:
        sock = connection.open()
        sock.sendall(contender.chat(text, stream=stream))
        received = b""
        while stream and received.count(b'"content"') < _SOME_CHUNKS:
            if not (data := sock.recv(65_536)):
                raise OSError(f"it closed the connection: {received[:120].decode('latin-1')}")
            received += data
        if not stream:
            with suppress(TimeoutError):
                simulator.wait_for("primary", 5.0, started=before["started"] + 1)
        time.sleep(0.15 if silent else 0)
        left = time.time()  # the simulator's abort counters are in this clock
    try:
        after = simulator.wait_for("primary", NOTICE_S, aborted=before["aborted"] + 1)
    except TimeoutError:
        return None
    return max(0.0, float(after["aborts"][-1]["at"]) - left)


def _settle(simulator: Simulator) -> None:
    """Until the backend has finished what nobody waits for any more."""
    until = time.monotonic() + _TOKENS / _TPS + _GAP_MS / 1000 + 1
    while time.monotonic() < until and simulator.stats("primary")["running"]:
        time.sleep(0.05)
