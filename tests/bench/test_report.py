"""The page and its pictures, from small results."""

import base64
import io
import json
import re
from argparse import Namespace
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import report
from bench.__main__ import ALL
from bench.pictures import Bar, Bars, Lines, draw, figures_of, is_wide, short, slug
from bench.report import HEADINGS, page
from bench.result import Result, intervals, spread, write_json
from bench.stats import bootstrap, summarise

ENVIRONMENT = {
    "date": "2026-01-01",
    "cpu": "a processor",
    "cores": 2,
    "gpu": "no GPU",
    "commands": ["all"],
    "packages": {"flask": "3"},
}


def results(rate: float = 1000.0) -> list[Result]:
    throughput = Result("throughput", "Requests per second [fast]", ("at a time", "requests/s"))
    for name in ("direct", "routed"):
        for users in (16, 64, 256):
            seconds = summarise([0.001 * users, 0.002 * users])
            throughput.add(
                (f"{name}, {users}", "1"), users=users, requests_per_s=rate, latency_s=seconds
            )
    routing = Result("routing", "1. Latency per route", ("route", "p50 ms"))
    routing.add(
        ("MODERATE <b>", "5"),
        total_s=summarise([0.9, 1.0]),
        reference=["", "", "", "1,181–1,426", ""],
    )
    routing.notes.append("a note & more")
    profile = Result("profile", "Stages", ("stage", "µs"))
    profile.add(("parse", "10"), us=10.0, calls=1.0)
    peers = Result("peers", "Peers", ("", "direct", "ai-router"))
    values = {"direct": {"value": 0.5}, "ai-router": {"value": 0.1}, "LiteLLM": {"n/a": "not here"}}
    peers.add(
        ("requests/s", "1", "2"),
        measure="requests_per_s",
        contenders=values,
        quantiles_s={"ai-router": {"0.5": 0.1, "0.9": 0.2}},
    )
    peers.broken.append("a promise")
    overload = Result("overload", "Overload", ("load",))
    overload.add(("1×",), offered_per_s=40.0, offered=40, served=40, refused=0)
    return [throughput, routing, profile, peers, overload]


def written(path: Path, found: list[Result], **more: Any) -> Path:
    write_json(path, found, ENVIRONMENT | more, complete=True)
    return path


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = written(tmp_path_factory.mktemp("page") / "r.json", results())
    return page([(path.name, report.read(path))])


@pytest.mark.tools
def test_the_page_asks_nobody_for_anything(html: str) -> None:
    without_pictures = re.sub(r'src="data:image/svg\+xml;base64,[^"]*"', "", html)
    asking = r"https?:|//\w|src=|href=(?!\"#)|@import|url\(|<script|<link"
    assert not re.search(asking, without_pictures)


def test_the_page_has_every_table_and_its_pictures(html: str) -> None:
    pictures = re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', html)
    assert len(pictures) >= 5
    assert all(b"<svg" in base64.b64decode(picture) for picture in pictures)
    for heading in (
        "Beside other gateways",
        "Throughput",
        "Routes and models",
        "Where the time goes",
    ):
        assert heading in html
    assert html.index("Beside other gateways") < html.index("Routes and models")
    assert "Not kept: a promise" in html
    assert "a processor" in html


def test_what_it_shows_is_escaped(html: str) -> None:
    assert "MODERATE <b>" not in html
    assert "MODERATE &lt;b&gt;" in html
    assert "a note &amp; more" in html


def test_figures_of_a_throughput_are_curves() -> None:
    document = json.loads(
        json.dumps(
            {
                "benchmark": "throughput",
                "rows": [{"name": "routed, 16", "users": 16, "requests_per_s": 10.0}],
            }
        )
    )
    found = figures_of(document)
    assert isinstance(found[0], Lines)
    assert found[0].series == {"routed": [(16.0, 10.0)]}


def test_a_table_without_numbers_has_no_picture() -> None:
    assert figures_of({"benchmark": "faults", "rows": [{"name": "refuse", "kept": True}]}) == []


@pytest.mark.tools
def test_pictures_as_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    args = Namespace(
        results=[written(tmp_path / "r.json", results())],
        html=tmp_path / "o.html",
        png=tmp_path / "img",
        markdown=tmp_path / "o.md",
    )
    assert report.run(args, Console(quiet=True)) == 0
    files = list((tmp_path / "img").glob("*.png"))
    assert len(files) >= 5
    summary = (tmp_path / "o.md").read_text()
    assert "| at a time | requests/s |" in summary
    assert "| routed, 64 | 1 |" in summary
    assert "- a note & more" in summary
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_nothing_to_report_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    assert (
        report.run(
            Namespace(results=[tmp_path / "x.json"], html=None, png=None, markdown=None),
            Console(quiet=True),
        )
        == 1
    )


def test_the_newest_of_each_kind(tmp_path: Path) -> None:
    for name in ("2026-01-01-all", "2026-01-02-all", "2026-01-03-peers", "2026-01-04-other"):
        (tmp_path / f"{name}.json").touch()
    assert [path.name for path in report.newest(tmp_path)] == [
        "2026-01-02-all.json",
        "2026-01-03-peers.json",
    ]


def test_a_command_is_kept_without_its_key() -> None:
    assert (
        report.command_line(["all", "--api-key", "secret", "--json", "a b"])
        == "./Benchmark all --api-key … --json 'a b'"
    )
    assert "secret" not in report.command_line(["all", "--api-key=secret"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.0351, "0.0351"), (1.5, "1.5"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_numbers_in_pictures(value: float, shown: str) -> None:
    assert short(value) == shown


def test_scales() -> None:
    assert is_wide([1, 100])
    assert not is_wide([1, 10])
    assert not is_wide([0, 100])


@pytest.mark.parametrize(
    "figure",
    [
        Bars("t", "ms", [Bar("only nothing", 0.0)]),
        Bars("t", "ms", [Bar("below", -1.0), Bar("ai-router, above", 2.0)]),
        Lines("t", "x", "y", {"one point": [(1.0, 1.0)]}, log_x=True),
        Bars("t", "ms", [Bar("all the same", 0.0, (0.0, 0.0))]),
    ],
)
def test_odd_figures_are_drawn(figure: Bars | Lines) -> None:
    file = io.StringIO()
    draw(figure, file, format="svg")
    assert file.getvalue().count("</svg>") == 1
    assert "nan" not in file.getvalue()


def test_the_verdict_comes_first_then_the_contents(html: str) -> None:
    """Every section is in the contents, and what was not kept is named before anything else."""
    assert html.index("1 of 1 promises not kept") < html.index('aria-label="Contents"')
    assert html.index('aria-label="Contents"') < html.index("<img")
    targets = re.findall(r'<li><a href="#([^"]+)">[^<]+</a></li>', html)
    assert targets == [name for name in re.findall(r'<h2 id="([^"]+)"', html) if name != "verdict"]


def verdict_of(*rows: tuple[str, str, str], broken: str = "") -> str:
    found = Result("faults", "Faults", ("promise", "measured", "kept"))
    for row in rows:
        found.add(row)
    found.broken += [broken] if broken else []
    document = {"environment": ENVIRONMENT, "results": [json.loads(json.dumps(asdict(found)))]}
    table = document["results"][0]
    table["cells"] = [row["cells"] for row in table.pop("rows")]
    return page([("r.json", document)])


def test_the_verdict_counts_promises() -> None:
    """Kept ones, missed ones with what was measured, and those that a table only mentions."""
    assert "0 of 2 promises not kept." in verdict_of(("a", "1", "yes"), ("b", "2", "stretch"))
    missed = verdict_of(("a", "1", "yes"), ("b <i>", "2", "NO"))
    assert "1 of 2 promises not kept." in missed
    assert '<a href="#faults">faults</a>: b &lt;i&gt; 2 NO' in missed
    assert "1 of 2 promises not kept." in verdict_of(("a", "1", "yes"), broken="c")


def test_no_heading_is_there_twice(html: str) -> None:
    """Neither a table's title below its section's of the same name, nor a picture's below its
    table's."""
    found = re.findall(r"<(?:h2|h3|figcaption)[^>]*>([^<]+)<", html)
    assert [one for one, following in pairwise(found) if one == following] == []
    assert "Overload" in found
    history = Result("history", HEADINGS["history"], ("", "n"))
    history.add(("empty", "1"), added_p50_s=0.001)
    table = {"benchmark": "history", "title": history.title, "rows": [], "cells": [["empty", "1"]]}
    alone = page([("r.json", {"environment": ENVIRONMENT, "results": [table]})])
    assert len(re.findall(rf"<h\d[^>]*>{HEADINGS['history']}<", alone)) == 1


CURVES = Lines("t", "at a time", "requests/s", {"a": [(16.0, 1000.0), (256.0, 2000.0)]}, log_x=True)
REACH = Bars("t", "ms", [Bar("a route", 900.0, (100.0, 2000.0))])


def test_nothing_of_a_picture_is_cut() -> None:
    """However long titles and names are, nothing reaches beyond the picture's frame."""
    title = "A title of a picture that is much longer than the picture is wide " * 3
    name = "a name of a bar that is as long as the longest of them are: 62 characters"
    for figure in (Bars("t", "ms", [Bar(name, 1.0), Bar("b", 123_456.0)]), CURVES, REACH):
        for title_shown in ("", title):
            made = draw(figure, io.BytesIO(), title=title_shown, format="svg")
            frame = made.bbox.padded(1)
            (axes,) = made.axes
            for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label, *made.texts):
                if text.get_text():
                    box = text.get_window_extent()
                    assert frame.x0 <= box.x0 <= box.x1 <= frame.x1, text
                    assert frame.y0 <= box.y0 <= box.y1 <= frame.y1, text


def test_few_samples_have_no_tail() -> None:
    """Below 20 there is neither a p95 nor a p99 in a table."""
    assert spread(summarise([0.001] * 19))[1:] == ("–", "–")
    assert spread(summarise([0.001] * 20))[1:] == ("1.00", "1.00")
    one = "1.00 [1.00, 1.00]"
    assert intervals(bootstrap([0.001] * 19), 19) == (one, "–", "–")
    assert intervals(bootstrap([0.001] * 20), 20) == (one, one, one)


def test_a_picture_of_few_samples_shows_the_largest_instead_of_the_p99() -> None:
    for n, reach, marked in ((19, 18.0, True), (20, 18.81, False)):
        summary = summarise([i / 1000 for i in range(n)])
        row = {"name": "a", "total_s": asdict(summary)}  # type: ignore[arg-type]
        (bars,) = figures_of({"benchmark": "x", "title": "X", "rows": [row]})
        assert isinstance(bars, Bars)
        assert bars.bars[0].reach == (0.0, pytest.approx(reach))
        assert bars.bars[0].name.endswith("*") == ("few samples" in bars.note) == marked


def test_every_benchmark_of_all_has_a_heading_of_its_own() -> None:
    assert {*ALL, "peers"} <= set(HEADINGS)


def test_a_file_name_for_a_picture() -> None:
    assert slug("p99 of: a/b, µs") == "p99-of-a-b-s"
