"""The limit of file descriptors: raised as far as it goes, and what follows where that is not
far."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from airouter.server.descriptors import affordable_connections

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(("soft", "hard", "then"), [(64, 128, 128), (128, 128, 128)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int, then: int) -> None:
    """In a process of its own: a hard limit that was lowered cannot be raised again."""
    program = (
        "import resource as r\n"
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from airouter.server.descriptors import raise_limit\n"
        "print(raise_limit(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [str(then), str(then)]


@pytest.mark.parametrize(
    ("soft", "hard", "asked"),
    [
        (256, UNLIMITED, [65_536, 10_240]),  # macOS says "unlimited" and allows 10,240
        (1024, 4096, [4096]),
        (1024, 1_000_000, [65_536]),
        (100_000, UNLIMITED, []),
        (UNLIMITED, UNLIMITED, []),
    ],
)
def test_how_far_it_is_raised(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, asked: list[int]
) -> None:
    from airouter.server import descriptors

    tried = []

    def refuse_first(_which: int, limits: tuple[int, int]) -> None:
        tried.append(limits[0])
        if len(tried) < len(asked):
            raise ValueError

    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(descriptors.resource, "setrlimit", refuse_first)
    limit = descriptors.raise_limit()
    assert tried == asked
    assert limit == (asked[-1] if asked else min(soft, 100_000) if soft != UNLIMITED else 65_536)


@pytest.mark.parametrize(
    ("wanted", "limit", "held"), [(10_000, 65_536, 10_000), (10_000, 256, 96), (10_000, 50, 16)]
)
def test_no_more_connections_than_descriptors_allow(wanted: int, limit: int, held: int) -> None:
    """Each may need another for its call to a backend."""
    assert affordable_connections(wanted, limit) == held
