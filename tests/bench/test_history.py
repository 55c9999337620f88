"""Cost over history: what is made for it, and what its table says."""

import orjson

from airouter.telemetry.session_retention import _OURS
from bench.history import DECIDED, EMPTY, LONG, LONG_DIRECT, STORED, long_conversation, store, table
from bench.result import Row


def test_session_files_are_those_of_a_router(tmp_path) -> None:  # type: ignore[no-untyped-def]
    store(tmp_path / "sessions", 30)
    names = sorted(path.name for path in (tmp_path / "sessions").iterdir())
    assert len(names) == 30
    assert all(_OURS.fullmatch(name) for name in names)


def test_a_conversation_is_as_long_as_it_says() -> None:
    messages = long_conversation()["messages"]
    assert len(messages) == 200
    assert messages[-1]["role"] == "user"
    assert 900_000 < len(orjson.dumps(messages)) < 1_100_000


def rows(**seconds: float) -> dict[str, Row]:
    names = {
        "direct": "direct",
        "empty": EMPTY,
        "stored": STORED,
        "decided": DECIDED,
        "long": LONG,
        "long_direct": LONG_DIRECT,
    }
    found = table({names[name]: [value] * 3 for name, value in seconds.items()}, 100_000, 10_000)
    return {row.cells[0]: row for row in found.rows}


def test_promises_are_kept_or_not() -> None:
    found = rows(
        direct=0.001, empty=0.002, stored=0.0021, decided=0.0025, long_direct=0.010, long=0.020
    )
    assert found["empty"].data["kept"] is None
    assert found["100,000 sessions stored"].data["kept"] is True
    assert found["10,000 decisions cached"].data["kept"] is False
    assert found["200 turns, 1 MB"].data["kept"] is True
    assert found["200 turns, 1 MB"].cells[5] == "10.0"


def test_a_long_conversation_may_add_15_ms() -> None:
    assert (
        rows(direct=0.001, empty=0.002, long_direct=0.010, long=0.026)["200 turns, 1 MB"].data[
            "kept"
        ]
        is False
    )


def test_an_interrupted_run_keeps_what_it_has() -> None:
    assert list(rows(direct=0.001)) == ["direct"]
