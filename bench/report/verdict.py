"""What a reader wants to know first: whether what was promised was kept; and which figures deserve to be shown."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bench.report.figures import is_summary
from bench.result import NOTHING
from bench.stats import FEW

VERDICTS = ("yes", "NO", "stretch")
Table = Mapping[str, Any]


def verdict(shown: Mapping[str, Sequence[Table]]) -> str:
    """How many promises were kept, and those that were not, each with a link to its benchmark."""
    kept, missed = 0, []
    for benchmark, tables in shown.items():
        for table in tables:
            for row in table.get("cells", ()):
                said = [cell for cell in row if cell in VERDICTS]
                if "NO" in said:
                    missed.append((benchmark, _of(row, table)))
                elif said:
                    kept += 1
            missed += [(benchmark, str(promise)) for promise in _said_elsewhere(table)]
    if not kept and not missed:
        words, kind = "Nothing was promised in these benchmarks.", "note"
    elif missed:
        words, kind = _count(len(missed), kept), "broken"
    else:
        words, kind = f"All {kept} promises were kept.", "yes"
    items = "".join(
        f'<li><a href="#{escape(benchmark)}">{escape(benchmark)}</a>: {escape(text)}</li>'
        for benchmark, text in missed
    )
    return (
        f'<h2 id="verdict">Verdict</h2><p class="verdict {kind}">{words}</p>'
        f"{f'<ul>{items}</ul>' if items else ''}"
    )


def _count(missed: int, kept: int) -> str:
    were = "was" if missed == 1 else "were"
    return f"{missed} of {kept + missed} promises {were} not kept."


def _of(row: Sequence[Any], table: Table) -> str:
    """A promise that was not kept, with what its row says of it."""
    facts = [
        f"{column} {cell}"
        for column, cell in list(zip(table.get("columns", ()), row, strict=False))[1:]
        if column and cell not in (*VERDICTS, NOTHING, "")
    ]
    return f"{str(row[0]).strip()} ({', '.join(facts)})" if facts else str(row[0]).strip()


def _said_elsewhere(table: Table) -> Sequence[Any]:
    """What was not kept and has no row that says so."""
    has_rows = any("NO" in row for row in table.get("cells", ()))
    return () if has_rows else table.get("broken", ())


def without_few(table: Table) -> tuple[list[list[Any]], bool]:
    """The table's cells without tail percentiles of few samples, and whether any was left out."""
    tails = [
        i
        for i, column in enumerate(table.get("columns", ()))
        if any(name in str(column).split() for name in ("p95", "p99"))
    ]
    sizes = {str(row.get("name", "")): _samples(row) for row in table.get("rows", ())}
    found, left_out = [], False
    for row in table.get("cells", ()):
        n, cells = sizes.get(str(row[0])) if row else None, list(row)
        if n is not None and n < FEW:
            for i in tails:
                left_out = left_out or cells[i] not in (NOTHING, "")
                cells[i] = NOTHING
        found.append(cells)
    return found, left_out


def _samples(row: Table) -> int | None:
    """Of how many samples a row's percentiles are; None where it does not say."""
    sizes = [value["n"] for value in row.values() if is_summary(value) and "n" in value]
    if not sizes and isinstance(row.get("n"), int):
        sizes = [row["n"]]
    return max(sizes) if sizes else None
