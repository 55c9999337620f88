"""What Locust loads: the users, the shape where one was chosen, and the file that each process
writes its samples to."""

import os
from typing import Any

from locust import events

from load.samples import Writer
from load.shapes import PlannedShape
from load.users import SETUP, USERS

globals().update({user.__name__: user for user in USERS})  # where Locust looks for them

if SETUP.phases:

    class Planned(PlannedShape):
        setup = SETUP


_writer = Writer(SETUP.folder / f"samples-{os.getpid()}.jsonl")


@events.request.add_listener  # type: ignore[untyped-decorator]
def _keep(context: dict[str, Any] | None = None, **_: Any) -> None:
    if context and "sample" in context:
        _writer.add(context["sample"])


@events.quit.add_listener  # type: ignore[untyped-decorator]
def _close(**_: Any) -> None:
    _writer.close()
