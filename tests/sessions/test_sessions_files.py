"""Session files: what is none is skipped and counted."""

import json

from airouter.sessions.files import Files


def test_truncated_and_foreign_files_are_skipped_and_counted(logs):
    folder = logs / "sessions"
    text = next(folder.iterdir()).read_bytes()
    for number, data in enumerate((text[:80], b"[1]", b'{"id": 1}', b"")):
        (folder / f"2026-01-01_00-00-0{number}_bad.json").write_bytes(data)
    (folder / "notes.json").write_text("{}")
    files = Files(logs)
    assert len(list(files.documents())) == 3
    assert files.skipped == 4


def test_halves_of_surrogate_pairs_are_read(logs):
    path = next((logs / "sessions").iterdir())
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"user_query": "\ud83d"}))
    files = Files(logs)
    assert "?" in {document["user_query"] for _, document in files.documents()}
    assert files.skipped == 0
