"""A backend that answers at once, for tests of the benchmarks' clients."""

from collections.abc import Iterator

import pytest

from bench.client import Endpoint
from bench.stub import Stub


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with Stub() as running:
        yield running


@pytest.fixture
def endpoint(stub: Stub) -> Endpoint:
    return Endpoint.of(stub.url())
