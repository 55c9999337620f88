"""In which order a chain is asked, and how long for a first byte."""

from __future__ import annotations

from typing import Any

import pytest
from doubles import FakeClock
from making import make_backend

from airouter.proxy.chain import first_byte_limit, in_order
from airouter.settings.schema import BackendSettings
from airouter.upstream.backend import Backend


def backend(name: str, *, local: bool = True, **settings: Any) -> Backend:
    spec = BackendSettings(url="http://127.0.0.1:9", model="m", local=local, slots=1, **settings)
    return make_backend(name, spec, FakeClock(), queue=8)


def names(backends: list[Backend]) -> list[str]:
    return [one.name for one in backends]


def test_a_full_local_backend_stands_behind_a_free_local_one() -> None:
    """But never behind a cloud: a full primary is no reason to send a prompt to a third party."""
    first, second, cloud = backend("first"), backend("second"), backend("cloud", local=False)
    chain = [first, second, cloud]
    assert names(in_order(chain)) == ["first", "second", "cloud"]
    slot = first.limiter.try_acquire()
    assert names(in_order(chain)) == ["second", "first", "cloud"]
    second.limiter.try_acquire()
    assert names(in_order(chain)) == ["first", "second", "cloud"]
    assert names(in_order([first, cloud])) == ["first", "cloud"]
    assert slot is not None
    slot.release()
    assert names(in_order(chain)) == ["first", "second", "cloud"]


def test_a_cloud_that_comes_first_stays_first() -> None:
    """For the hard asks the local backend is only the last resort, busy or not."""
    cloud, local = backend("cloud", local=False), backend("local")
    local.limiter.try_acquire()
    assert names(in_order([cloud, local])) == ["cloud", "local"]
    local.pause.begin("model swap", 60)
    assert names(in_order([cloud, local])) == ["cloud", "local"]
    assert names(in_order([local, cloud])) == ["local", "cloud"]


@pytest.mark.parametrize("fails", ["connect", "silent"])
def test_a_cloud_answers_when_the_local_ones_cool(fails: Any) -> None:
    """Failed is another thing than busy."""
    first, cloud = backend("first"), backend("cloud", local=False)
    permit = first.breaker.allow()
    assert permit is not None
    permit.failed(fails)
    assert names(in_order([first, cloud])) == ["cloud", "first"]


def test_the_first_byte_is_awaited_briefly_while_there_is_a_choice() -> None:
    """12 s and a second per 3,500 characters; the long limit counts for the last backend."""
    first, second, cloud = backend("first"), backend("second"), backend("cloud", local=False)
    assert first_byte_limit(first, [], 0) == 120
    assert first_byte_limit(first, [second], 0) == 12
    assert first_byte_limit(first, [second], 7000) == 14
    assert first_byte_limit(first, [second], 10_000_000) == 120
    assert first_byte_limit(first, [cloud], 0) == 12  # the route itself names it
    assert first_byte_limit(cloud, [second], 0) == 120  # clouds often think for longer
    second.out = True
    assert first_byte_limit(first, [second], 0) == 120
