"""Checks on what is sent to backends, in the order in which they are made.

All requests pass them, probes and side calls included. A check receives the backend's name and
settings (`local` is False for a third party) and the request as it would be sent. It returns the
request, changed or not, or raises `EgressRefused`; then the next backend of the chain is asked.
"""

from collections.abc import Callable

from airouter.domain.errors import NoBackend
from airouter.domain.types import HttpRequest
from airouter.settings.schema import BackendSettings

Check = Callable[[str, BackendSettings, HttpRequest], HttpRequest]

CHECKS: tuple[Check, ...] = ()


class EgressRefused(NoBackend):
    """A check did not let the request pass to this backend."""

    code = "egress_refused"
