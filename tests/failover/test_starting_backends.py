"""A local backend that cannot be reached may be starting: requests wait for it, but not for
ever."""

from __future__ import annotations

import time

from harness import Stream, ask, body, error_of, eventually
from resilience_harness import (
    CHAIN_MODEL,
    Running,
    attempts,
    backend,
    served_by,
    started,
    well,
)

from simulator.testing import Simulator


def test_requests_wait_for_a_backend_that_starts(make_chain, sim: Simulator) -> None:
    """Several clients at once, whole and streamed: all are served when it is up; none is
    refused."""
    sim.fault("primary", "refuse")
    router = make_chain("primary", queue={"hold_wait": 30}, timeouts={"total": 60})
    asking = Running(lambda: ask(router, "Hello", **CHAIN_MODEL), 6)
    streaming = Running(lambda: Stream(router, body("Hello", **CHAIN_MODEL)).read())
    eventually(lambda: backend(router)["pause"] == "loading", 10)
    assert asking.done == 0
    assert backend(router)["fails"] == 0
    sim.clear_faults("primary")
    for response in asking.all():
        well(response)
    assert streaming.one().done


def test_the_wait_ends_when_it_never_comes(make_chain, sim: Simulator) -> None:
    """It counts as starting for hold_wait since it was found down; then errors come at once
    again."""
    sim.fault("primary", "refuse")
    router = make_chain("primary", queue={"hold_wait": 5})
    begun = time.monotonic()
    first = ask(router, "Hello", **CHAIN_MODEL)
    assert time.monotonic() - begun > 4
    assert (first.status_code, error_of(first)["code"]) == (502, "upstream_unreachable")
    assert first.headers["x-should-retry"] == "false"
    assert attempts(first) == ["primary: upstream_unreachable"]
    begun = time.monotonic()
    assert ask(router, "Hello", **CHAIN_MODEL).status_code == 502
    assert time.monotonic() - begun < 4


def test_nobody_waits_where_another_backend_answers(make_chain, sim: Simulator) -> None:
    """The next tier is there: a backend that is down costs no waiting."""
    sim.fault("primary", "refuse")
    router = make_chain("primary", "second", queue={"hold_wait": 60})
    response = ask(router, "Hello", **CHAIN_MODEL)
    well(response)
    assert served_by(response) == "second"


def test_a_name_that_was_read_is_read_again(make_chain, sim: Simulator) -> None:
    """A server restarted with another model between two probes: no client is told of it."""
    router = make_chain("primary", backends={"primary": {"model": None}})
    well(ask(router, "Hello", **CHAIN_MODEL))
    sim.fault(
        "primary",
        "error_status",
        status=404,
        times=1,
        body={"error": {"message": "The model does not exist.", "code": 404}},
    )
    response = ask(router, "Hello again", **CHAIN_MODEL)
    well(response)
    assert attempts(response) == ["primary: upstream_error", "again", "primary: ok"]
    assert started(sim, "primary") == 3  # the first ask, the refused one, and its repetition


def test_an_unknown_model_moves_on_unless_the_client_named_it(make_chain, sim: Simulator) -> None:
    """The router's own name for a model is the deployment's mistake; the client's is its own."""
    sim.fault("primary", "error_status", status=404)
    router = make_chain("primary", "second")
    response = ask(router, "Hello", **CHAIN_MODEL)
    well(response)
    assert served_by(response) == "second"
    assert ask(router, "Hello", model="primary-model").status_code == 404
