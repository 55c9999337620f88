"""W3C Trace Context."""

from __future__ import annotations

import pytest

from airouter.domain.trace import trace_of

OWN = "80000000" + "0" * 24
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
def test_a_trace_is_continued(flags: str, sampled: bool) -> None:
    trace = trace_of(f"00-{TRACE}-{SPAN}-{flags}", OWN, 0.0)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE, SPAN, sampled)
    span, header = trace.child()
    assert header == f"00-{TRACE}-{span}-{'01' if sampled else '00'}"
    assert len({trace.span_id, span, SPAN}) == 3


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_one_that_is_not_valid_begins_anew(header: str | None) -> None:
    trace = trace_of(header, OWN, 1.0)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (OWN, None, True)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_of(f"01-{TRACE}-{SPAN}-01-more", OWN, 0.0).trace_id == TRACE


@pytest.mark.parametrize(("share", "sampled"), [(0.0, False), (0.5, False), (0.51, True)])
def test_a_share_of_the_others_is_recorded(share: float, sampled: bool) -> None:
    assert trace_of(None, OWN, share).sampled is sampled
