"""A table of promises: what was promised, what was measured, and whether it was kept."""

from typing import Any

from bench.result import Result

COLUMNS = ("promise", "target", "measured", "kept")


class Promises:
    """Collects them into a `Result`; a broken one makes the command's exit status 1."""

    def __init__(self, benchmark: str, title: str) -> None:
        self.result = Result(benchmark, title, COLUMNS)

    def check(self, promise: str, target: str, measured: str, kept: bool, **data: Any) -> None:
        self.result.add(
            (promise, target, measured, "yes" if kept else "NO"),
            kept=kept,
            target=target,
            measured=measured,
            **data,
        )
        if not kept:
            self.result.broken.append(f"{promise}: {measured}, promised {target}")

    def note(self, what: str, measured: str, **data: Any) -> None:
        """Measured, but nothing was promised."""
        self.result.add((what, "–", measured, ""), measured=measured, **data)
