"""The pool computes in one thread, which exists while there is something to compute."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

import pytest
from harness import eventually

from airouter.classify.encoder.pool import Job, Pool


def result(job: Job[int, int] | None) -> int | None:
    assert job is not None
    assert select.select([job.wake], [], [], 10)[0]
    assert job.done
    job.leave()
    return job.result


def pool_threads() -> int:
    return sum(thread.name == "encoder" for thread in threading.enumerate())


def test_results_come_in_order_and_the_thread_ends() -> None:
    order: list[int] = []

    def work(given: int) -> int:
        order.append(given)
        return 2 * given

    pool = Pool(work, 20)
    jobs = [pool.submit(i) for i in range(10)]
    assert [result(job) for job in jobs] == [2 * i for i in range(10)]
    assert order == list(range(10))
    eventually(lambda: pool_threads() == 0)
    assert result(pool.submit(50)) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_thread_gives_way_to_the_others() -> None:
    pool = Pool(lambda _: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), 1)
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert (result(pool.submit(0)) or 0) > usual or usual >= 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual


def test_one_computation_at_a_time() -> None:
    now, most = [0], [0]
    lock = threading.Lock()

    def work(given: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1
        return given

    pool = Pool(work, 100)
    jobs: list[Job[int, int] | None] = []
    threads = [
        threading.Thread(target=lambda: jobs.extend(pool.submit(i) for i in range(8)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [result(job) is not None for job in jobs] == [True] * 32
    assert most == [1]


def held_pool(limit: int) -> tuple[Pool[int, int], Callable[[], None], list[int]]:
    """A pool whose thread is busy with 0 until the function is called; and what it has computed."""
    go, begun, seen = threading.Event(), threading.Event(), []

    def work(given: int) -> int:
        seen.append(given)
        begun.set()
        assert go.wait(10)
        return given

    pool = Pool(work, limit)
    assert pool.submit(0) is not None
    assert begun.wait(10)
    return pool, go.set, seen


def test_a_job_that_leaves_makes_room_and_is_not_computed() -> None:
    pool, go, seen = held_pool(1)
    waiting = pool.submit(1)
    assert waiting is not None
    assert pool.submit(2) is None
    waiting.leave()
    waiting.leave()
    third = pool.submit(3)
    go()
    assert result(third) == 3
    assert seen == [0, 3]


def test_without_a_thread_there_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = Pool(lambda given: given, 2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert [pool.submit(i) for i in range(5)] == [None] * 5
    assert result(pool.submit(7)) == 7
