"""A chain of three backends: which errors move a request on, where to, and which error the client
gets if none is left."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Stream, all_free, ask, body, error_of, is_whole
from resilience_harness import (
    CHAIN_MODEL,
    MODEL_OF,
    attempts,
    backend,
    heal,
    served_by,
    started,
    well,
)

from bench.router_process import RouterProcess
from simulator.testing import Simulator

Fault = dict[str, Any]


def fault(name: str, **params: Any) -> Fault:
    return {"fault": name, **params}


def label(value: Any) -> str:
    return "-".join(str(part) for part in value.values()) if isinstance(value, dict) else str(value)


BOTH = [
    fault("refuse"),
    fault("reset_before_read"),
    fault("reset"),
    fault("hang"),
    fault("hang_headers"),
    *(fault("error_status", status=code) for code in (401, 403, 408, 429, 500, 502, 503, 529)),
    fault("html"),
    fault("html", status=502),
    fault("empty_200"),
    fault("loading"),
    fault("early_close_after_headers"),
    fault("slow_first_token", ms=6000),
    fault("cut", after_chunks=0),
]
STREAMED = [
    fault("role_only_then_cut"),
    fault("cut_clean", after_chunks=0),
    fault("stall", after_chunks=0),
    fault("error_event", after_chunks=0),
]
WHOLE = [fault("truncated_json"), fault("cut", after_chunks=3), fault("cut_clean", after_chunks=3)]


def break_it(sim: Simulator, role: str, broken: Fault) -> None:
    sim.fault(
        role, broken["fault"], **{key: value for key, value in broken.items() if key != "fault"}
    )


def rescuers(broken: Fault) -> tuple[str, ...]:
    """A connection kept open from before is not reset when it is made: then the first backend
    answers after all."""
    return ("primary", "second") if broken["fault"] == "reset_before_read" else ("second",)


@pytest.mark.parametrize("broken", [*BOTH, *STREAMED], ids=label)
def test_a_stream_that_never_began_is_rescued(
    chained: RouterProcess, sim: Simulator, broken: Fault
) -> None:
    """Whatever goes wrong before the first content, the next backend's stream is what the client
    gets, and nothing else."""
    break_it(sim, "primary", broken)
    stream = Stream(chained, body("Hello", **CHAIN_MODEL)).read()
    assert stream.status == 200
    assert is_whole(stream.text)
    assert (stream.finish_reasons, stream.done, stream.error, stream.comments) == (
        ["stop"],
        True,
        None,
        [],
    )
    assert served_by(stream) in rescuers(broken)
    assert len({event["id"] for event in stream.events}) == 1
    assert started(sim, "xai") == 0
    all_free(chained)


@pytest.mark.parametrize("broken", [*BOTH, *WHOLE], ids=label)
def test_a_whole_answer_is_rescued(chained: RouterProcess, sim: Simulator, broken: Fault) -> None:
    """An answer that fails, is cut short or has no end is asked for again at the next backend."""
    break_it(sim, "primary", broken)
    answer = ask(chained, "Hello", **CHAIN_MODEL)
    well(answer)
    assert served_by(answer) in rescuers(broken)
    assert answer.json()["model"] == MODEL_OF[served_by(answer)]
    assert started(sim, "xai") == 0
    all_free(chained)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", [400, 409, 413, 422])
def test_a_refusal_of_the_request_is_final(
    chained: RouterProcess, sim: Simulator, code: int, stream: bool
) -> None:
    """An error that any backend would return is final: no other backend is tried."""
    sim.fault("primary", "error_status", status=code)
    answer = ask(chained, "Hello", stream=stream, **CHAIN_MODEL)
    assert answer.status_code == code
    assert error_of(answer)
    assert started(sim, "primary") == 1
    assert started(sim, "embedding") + started(sim, "xai") == 0
    assert backend(chained)["fails"] == 0


def test_the_cloud_is_the_last(chained: RouterProcess, sim: Simulator) -> None:
    """It is called when every local backend has failed, and only then."""
    sim.fault("primary", "error_status", status=502)
    sim.refuse("embedding")
    answer = ask(chained, "Hello", **CHAIN_MODEL)
    well(answer)
    assert served_by(answer) == "xai"
    assert attempts(answer) == [
        "primary: upstream_error",
        "second: upstream_unreachable",
        "xai: ok",
    ]
    heal(chained, sim)
    sim.reset()
    assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "primary"
    assert started(sim, "xai") == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("last", "status"),
    [
        (fault("error_status", status=503), 503),
        (fault("error_status", status=429), 429),
        (fault("error_status", status=500), 500),
        (fault("error_status", status=401), 502),
        (fault("error_status", status=403), 502),
        (fault("reset"), 502),
        (fault("hang"), 504),
        (fault("html"), 502),
    ],
    ids=label,
)
def test_an_exhausted_chain_says_so(
    chained: RouterProcess, sim: Simulator, last: Fault, status: int, stream: bool
) -> None:
    """The last error with its own status, told so that a client library does not repeat it all; 401
    and 403 are ours, not the client's."""
    sim.fault("primary", "error_status", status=502)
    sim.fault("embedding", "error_status", status=502)
    break_it(sim, "xai", last)
    answer = ask(chained, "Hello", stream=stream, **CHAIN_MODEL)
    assert answer.status_code == status
    assert error_of(answer)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["Content-Type"] == "application/json"
    all_free(chained)


def test_the_clients_wait_is_passed_on(chained: RouterProcess, sim: Simulator) -> None:
    """When the last backend says when to come back, the client is told under the same name, and
    may."""
    for role in ("primary", "embedding", "xai"):
        sim.fault(role, "error_status", status=429, retry_after=17)
    answer = ask(chained, "Hello", **CHAIN_MODEL)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "17")
    assert "x-should-retry" not in answer.headers


def test_a_short_retry_after_is_waited_for(chained: RouterProcess, sim: Simulator) -> None:
    """A backend that wants a second is given it, once; then the next one is asked."""
    sim.fault("primary", "error_status", status=429, retry_after=1, times=1)
    assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "primary"
    assert started(sim, "primary") == 2
    sim.fault("primary", "error_status", status=429, retry_after=1)
    assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "second"
    assert started(sim, "primary") == 4


def test_a_long_retry_after_is_not(chained: RouterProcess, sim: Simulator) -> None:
    """Beyond the limit the next backend is asked at once."""
    sim.fault("primary", "error_status", status=429, retry_after=30)
    assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "second"
    assert started(sim, "primary") == 1


@pytest.mark.parametrize("broken", [fault("reset"), fault("error_status", status=500)], ids=label)
def test_one_quick_retry_where_nothing_was_received(
    chained: RouterProcess, sim: Simulator, broken: Fault
) -> None:
    """A hiccup is tried once more on the same backend, and only once, also when a kept-alive
    connection was reset."""
    for _ in range(2):
        before = started(sim, "primary")
        break_it(sim, "primary", {**broken, "times": 1})
        assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "primary"
        assert started(sim, "primary") - before == 2
    before = started(sim, "primary")
    break_it(sim, "primary", broken)
    assert served_by(ask(chained, "Hello", **CHAIN_MODEL)) == "second"
    assert started(sim, "primary") - before == 2


@pytest.mark.parametrize("stream", [False, True])
def test_who_is_silent_is_not_asked_twice(
    chained: RouterProcess, sim: Simulator, stream: bool
) -> None:
    """A backend that hangs sees the request once."""
    sim.fault("primary", "hang")
    assert ask(chained, "Hello", stream=stream, **CHAIN_MODEL).status_code == 200
    assert started(sim, "primary") == 1


def test_a_content_policy_refusal_is_passed_on(chained: RouterProcess, sim: Simulator) -> None:
    """What one backend refuses to say is not asked of another."""
    refusal = {
        "error": {
            "message": "No.",
            "type": "invalid_request_error",
            "param": None,
            "code": "content_policy_violation",
        }
    }
    sim.fault("primary", "error_status", status=400, body=refusal)
    answer = ask(chained, "Hello", **CHAIN_MODEL)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "content_policy_violation")
    assert started(sim, "embedding") + started(sim, "xai") == 0


def test_too_long_goes_to_a_larger_window_only(make_chain, sim: Simulator) -> None:
    """context_length_exceeded passes over backends whose window is no larger; without a larger one
    it is the answer."""
    windows = {
        "primary": {"context_window": 4096},
        "second": {"context_window": 4096},
        "xai": {"context_window": 256_000},
    }
    router = make_chain("primary", "second", "xai", backends=windows)
    sim.configure("primary", max_model_len=64)
    sim.configure("embedding", max_model_len=64)
    answer = ask(router, "Hello " * 200, **CHAIN_MODEL)
    assert (answer.status_code, served_by(answer)) == (200, "xai")
    assert (started(sim, "primary"), started(sim, "embedding")) == (1, 0)
    sim.configure("xai", max_model_len=64)
    answer = ask(router, "Hello " * 200, **CHAIN_MODEL)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "context_length_exceeded")


def test_one_backend_alone_is_asked_again_for_a_broken_answer(make_chain, sim: Simulator) -> None:
    """Without another backend, a broken answer is retried once."""
    router = make_chain("primary")
    for broken in ("truncated_json", "cut"):
        sim.fault("primary", broken, times=1)
        well(ask(router, "Hello", **CHAIN_MODEL))
    sim.fault("primary", "role_only_then_cut", times=1)
    assert is_whole(Stream(router, body("Hello", **CHAIN_MODEL)).read().text)
