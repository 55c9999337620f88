"""Finding requests, by the index and by files, and following new ones."""

import pytest

from airouter.domain.clock import Clock
from airouter.sessions.files import Files
from airouter.sessions.find import Filter, NoSessions, Requests
from airouter.sessions.listing import follow, longest_stage


def ids(folder, wanted, **options):
    return "".join(one["id"][0] for one in Requests(folder).rows(wanted, **options))


def test_the_index_and_the_files_have_the_same_rows(logs):
    indexed = list(Requests(logs).rows(Filter()))
    (logs / "index.sqlite").unlink()
    assert list(Requests(logs).rows(Filter())) == indexed


def test_order_filter_and_limit(either):
    assert ids(either, Filter(), order="-at") == "cba"
    assert ids(either, Filter(), order="-total_ms", limit=2) == "bc"
    assert ids(either, Filter(since=Clock().time() - 3600)) == "bc"
    assert ids(either, Filter(route="xai", reason="backend_timeout")) == "c"
    assert ids(either, Filter(outcome="ok", backend="gpu0")) == "ab"
    assert ids(either, Filter(key_id="reports")) == "b"


def test_the_longest_stage(either):
    slow = next(Requests(either).rows(Filter(), order="-total_ms"))
    assert longest_stage(slow) == ("answer", 1400.0)


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(NoSessions, match="send the router a request"):
        Requests(tmp_path)


def test_a_damaged_index_is_a_sentence(logs):
    (logs / "index.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(NoSessions, match="cannot be read"):
        Requests(logs)


def test_new_sessions_are_followed(logs):
    newest = max((logs / "sessions").iterdir())
    data = newest.read_bytes()
    newest.unlink()
    lines = follow(Files(logs), Filter(), 1, lambda _: newest.write_bytes(data))
    assert "bbbbbbbb" in next(lines).plain
    assert "cccccccc" in next(lines).plain
