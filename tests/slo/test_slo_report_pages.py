"""The report in its three forms: the same content, and nothing in it is taken for markup."""

from __future__ import annotations

import io
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from rich.console import Console

from airouter.slo.objectives import Measure, Objective
from airouter.slo.replay import Fired
from airouter.slo.report import BackendLine, ObjectiveLine, Report, RouteLine
from airouter.slo.report_pages import html, markdown, terminal

NASTY = "<script>alert('1')</script> | [red]_a_*b*`c`\x1b[31m\n&amp;"


def line(name: str, good: int, bad: int) -> ObjectiveLine:
    objective = Objective(name, "004", "d", Measure("available"), 0.99)
    worst = (date(2026, 11, 3), 0.99996) if good else None
    return ObjectiveLine(objective, good, bad, worst, 0.5 if good else None)


def report(name: str = "primary") -> Report:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    return Report(
        at.replace(day=1),
        at,
        [line("available", 9990, 10), line("slow", 50, 50), line("silent", 0, 0)],
        [
            RouteLine(
                name,
                1234,
                {"ok": 1200, "client_gone": 34},
                {"total_ms": (1234.5, 5000.0, 9999.9), "ttft_ms": None, "own_ms": (0.5, 1, 2)},
            )
        ],
        [BackendLine(name, 1234, 5, 1_000_000, 20_000, 0.9951)],
        [Fired("SlowBudgetBurn", "slow", "critical", 2, 600.0, at.timestamp() - 3600, True)],
        7,
    )


EMPTY = Report(*[datetime(2026, 11, 20, tzinfo=UTC)] * 2, [], [], [], [], 0)


def printed(made: Report, terminal_there: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal_there, width=80)
    return terminal(made, console)


FORMS = {"terminal": printed, "markdown": markdown, "html": html}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_says_all(form: str) -> None:
    text = FORMS[form](report()).replace("\\_", "_")
    for part in (
        "Service levels from 2026-11-01 12:00 to 2026-11-20 12:00 UTC",
        "99.90 %",
        "10,000",
        "90 %",
        "-4900 %",
        "2026-11-03: 99.99 %",
        "kept",
        "breached",
        "no events",
        "SlowBudgetBurn",
        "critical (P1)",
        "2026-11-20 11:00",
        "firing",
        "ok 1,200, client_gone 34",
        "1,234 / 5,000 / 10,000",
        "0.5 / 1.0 / 2.0",
        "1,000,000",
        "99.51 %",
        "Without 7 requests of tests.",
    ):
        assert part in text, part


@pytest.mark.parametrize("form", FORMS)
def test_a_report_without_anything_says_so(form: str) -> None:
    text = FORMS[form](EMPTY)
    assert text.count("No requests.") == 2
    assert "None." in text


def test_the_terminal_shows_names_as_they_are_but_no_control_characters() -> None:
    text = printed(report(NASTY))
    assert "[red]_a_*b*`c`�[31m�&amp;" in text
    assert "\x1b" not in text
    assert "\x1b[1;31mbreached" in printed(report(), terminal_there=True)


def test_markdown_has_tables_of_equal_width_and_no_markup_of_names() -> None:
    text = markdown(report(NASTY))
    assert "<script" not in text
    assert r"\[red\]\_a\_\*b\*\`c\`" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
        assert re.fullmatch(r"\|( (:--|--:) \|)+", rows[1])


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_one_page_without_scripts_and_requests() -> None:
    text = html(report(NASTY))
    page = Parsed(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href", "style"} & {name for name, _ in page.attributes}
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert "&lt;script&gt;" in text


def test_html_is_readable_in_light_and_dark() -> None:
    text = html(report())
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text
    assert '<td class="breached">breached</td>' in text
