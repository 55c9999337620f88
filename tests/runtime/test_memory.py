"""Memory that large requests used goes back to the system, even where small things that live on lie
between them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from airouter.runtime.memory import keep_memory_small

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000

if sys.argv[1] == "yes":
    keep_memory_small()
del [bytearray(30_000_000)][0]  # from here on glibc keeps blocks of this size
before = megabytes()
large, small = [], []
for _ in range(100):
    large.append(bytearray(2_000_000))
    small.append(bytearray(10_000))
del large
print(megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_large_blocks_are_given_back() -> None:
    def left(switched_on: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, switched_on],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return int(done.stdout)

    assert left("yes") < 20
