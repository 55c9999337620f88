"""Where something was measured, and what processes cost: CPU and memory from /proc, the GPU from
nvidia-smi."""

import os
import platform
import re
import resource
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

PACKAGES = ("flask", "gunicorn", "orjson", "httptools", "prometheus-client", "uvloop")
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def environment() -> dict[str, Any]:
    """What a result needs to be compared with another."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "packages": {
            found.metadata["Name"]: found.version
            for name in PACKAGES
            for found in distributions(name=name)
        },
        "gpu": gpu(),
    }


def gpu(query: str = "name,memory.used,memory.total,utilization.gpu,temperature.gpu") -> str:
    """These figures of each GPU as nvidia-smi gives them, or "no GPU"."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "no GPU"
    return "; ".join(done.stdout.strip().splitlines()) or "no GPU"


def cpu_seconds(pids: Iterable[int]) -> float | None:
    """User and system time of these processes so far; None where /proc is missing."""
    ticks: list[int] = []
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += [int(fields[11]), int(fields[12])]
    return sum(ticks) / _TICKS if ticks else None


def pss_mb(pids: Iterable[int]) -> float | None:
    """Proportional memory of these processes in MB: shared pages are divided among who shares
    them."""
    kilobytes: list[int] = []
    for pid in pids:
        with suppress(OSError):
            told = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes += map(int, re.findall(r"^Pss:\s+(\d+)", told, re.MULTILINE))
    return sum(kilobytes) / 1024 if kilobytes else None


def rss_mb(pids: Iterable[int]) -> float | None:
    """Resident memory of these processes in MB; pages that they share count in each."""
    pages: list[int] = []
    for pid in pids:
        with suppress(OSError):
            pages.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]))
    return sum(pages) * _PAGE / 1024**2 if pages else None


def descriptors(wanted: int) -> int:
    """Raise this process's limit of open files to `wanted`, as far as the hard limit allows; the
    limit from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard):
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _cpu_name() -> str:
    with suppress(OSError, IndexError):
        told = Path("/proc/cpuinfo").read_text()
        return str(re.findall(r"^model name\s*: (.*)$", told, re.MULTILINE)[0])
    return platform.processor() or "unknown"
