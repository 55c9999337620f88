"""What the doctor found, as tables for a terminal, as plain text, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airouter.doctor.advise import Finding
from airouter.doctor.examine import Report
from airouter.doctor.measure import Measured
from airouter.domain.redaction import masked_text

_STYLES = {"yes": "green", "no": "red", "error": "bold red", "warning": "yellow", "hint": "cyan"}


def as_json(
    reports: Mapping[str, Report], findings: Sequence[Finding], configuration: str | None = None
) -> str:
    """All of it for programs; `configuration`: what is proposed for a server."""
    value: dict[str, Any] = {
        "backends": {
            name: {
                "skipped": report.skipped or None,
                "capabilities": {
                    key: {"verdict": found.verdict, "evidence": found.evidence}
                    for key, found in report.found.items()
                },
                "measured": asdict(report.measured),
            }
            for name, report in reports.items()
        },
        "findings": [asdict(finding) for finding in findings],
    }
    if configuration is not None:
        value["configuration"] = configuration
    return masked_text(json.dumps(value, indent=2, ensure_ascii=False))


def show(
    console: Console,
    reports: Mapping[str, Report],
    findings: Sequence[Finding],
    configuration: str | None = None,
) -> None:
    """Print tables and findings. YAML is printed as it is, so that it can be copied."""
    for name, report in reports.items():
        if report.skipped:
            console.print(_text(f"{name}: not asked: {report.skipped}."), soft_wrap=True)
            continue
        table = Table(title=_text(name), title_justify="left", box=None, pad_edge=False)
        for column in ("capability", "", "evidence"):
            table.add_column(column)
        for key, found in report.found.items():
            verdict = Text(found.verdict, _STYLES.get(found.verdict, "dim"))
            table.add_row(key, verdict, _text(found.evidence))
        console.print(table)
        console.print(_text(_times(report.measured)), soft_wrap=True)
        console.print()
    for finding in findings:
        text = Text(finding.level, _STYLES[finding.level])
        text.append_text(_text(f" {finding.backend}: {finding.sentence}", style="default"))
        console.print(text, soft_wrap=True)
        if finding.yaml:
            console.print(_text(_indented(finding.yaml)), soft_wrap=True)
    if (
        configuration is None
        and not findings
        and any(not report.skipped for report in reports.values())
    ):
        console.print("No findings.")
    if configuration:
        console.print("A configuration for this server (config/router.yaml):\n")
        console.print(_text(configuration), soft_wrap=True, highlight=False)


def _times(measured: Measured) -> str:
    figures = (
        ("RTT", measured.rtt_ms, "ms"),
        ("TTFT", measured.ttft_ms, "ms"),
        ("rate", measured.tokens_per_s, "tokens/s"),
    )
    return ", ".join(
        f"{name} {'unknown' if value is None else f'{value:.3g} {unit}'}"
        for name, value, unit in figures
    )


def _text(text: str, style: str = "") -> Text:
    """Without markup, which a server's answer might contain, and without keys."""
    return Text(masked_text(text), style)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
