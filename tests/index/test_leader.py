"""One leads at a time, and another one takes over."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from airouter.index.leader import Leader


def test_one_leads_until_it_stops(tmp_path: Path) -> None:
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")
    assert first.try_lead()
    assert first.try_lead()
    assert not second.try_lead()
    first.close()
    assert second.try_lead()
    second.close()
    second.close()


def _lead(path: Path, ready: object) -> None:
    leader = Leader(path)
    assert leader.try_lead()
    ready.set()  # type: ignore[attr-defined]
    multiprocessing.Event().wait(60)


def test_one_that_is_killed_leads_no_more(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_lead, args=(tmp_path / "lock", ready))
    process.start()
    assert ready.wait(30)
    leader = Leader(tmp_path / "lock")
    assert not leader.try_lead()
    process.kill()
    process.join()
    assert leader.try_lead()
    leader.close()


def test_one_whose_file_was_deleted_leads_no_more(tmp_path: Path) -> None:
    first, second = Leader(tmp_path / "lock"), Leader(tmp_path / "lock")
    assert first.try_lead()
    (tmp_path / "lock").unlink()
    assert second.try_lead()
    assert not first.try_lead()
    second.close()
    assert first.try_lead()
    first.close()


def test_a_folder_that_cannot_be_written_has_no_leader(tmp_path: Path) -> None:
    assert not Leader(tmp_path / "missing" / "lock").try_lead()
