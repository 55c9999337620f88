"""What is printed: tables and findings as text, or JSON; never a key, never a server's markup."""

from __future__ import annotations

import io
import json

from rich.console import Console

from airouter.doctor.advise import Finding
from airouter.doctor.examine import Report
from airouter.doctor.render import as_json, show
from airouter.doctor.subject import Found
from airouter.domain.redaction import protect
from tests.doctor.test_doctor_advise import report

FINDING = Finding("warning", "one", "It has [red]marks[/red].", "backends:\n  one: {}")


def shown(reports, findings=(), configuration=None):
    out = io.StringIO()
    show(Console(file=out, width=100), reports, findings, configuration)
    return out.getvalue()


def test_tables_and_findings():
    text = shown({"one": report(tools="no")}, [FINDING])
    assert "tools" in text
    assert "RTT 1 ms, TTFT 100 ms, rate 50 tokens/s" in text
    assert "warning one: It has [red]marks[/red].\n    backends:\n      one: {}\n" in text


def test_nothing_found_and_nothing_asked():
    assert "No findings." in shown({"one": report()})
    text = shown({"one": Report("it has no url")})
    assert text == "one: not asked: it has no url.\n"


def test_a_configuration_can_be_copied():
    long = "url: http://" + "a" * 200
    assert f"\n{long}\n" in shown({"server": report()}, [], long)


def test_keys_are_masked():
    protect(["key-of-a-backend-1"])
    found = report(tools=Found("no", "key-of-a-backend-1"))
    assert "key-of" not in shown({"one": found})
    assert "key-of" not in as_json({"one": found}, [])


def test_json():
    data = json.loads(as_json({"one": report()}, [FINDING], "a: b"))
    one = data["backends"]["one"]
    assert one["capabilities"]["tools"] == {"verdict": "yes", "evidence": "as asked"}
    assert one["measured"]["rtt_ms"] == 1
    assert data["findings"][0]["level"] == "warning"
    assert data["configuration"] == "a: b"
