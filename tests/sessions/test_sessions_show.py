"""One session: its timeline."""

import pytest

from airouter.sessions.files import Files
from airouter.sessions.find import NoSessions
from airouter.sessions.show import facts, find, spans


def test_the_timeline(logs):
    document, others = find(Files(logs), "bbbbbbbb", logs / "bbbbbbbb")
    made = {span.name.strip(): span for span in spans(document)}
    assert others == 0
    assert list(made) == ["decision", "one_token", "attempt", "first content", "total"]
    assert "p 0.930 ≥ 0.700" in made["one_token"].note
    assert (made["attempt"].start, made["attempt"].ms) == (100.0, 1400.0)
    assert "started during the decision" in made["attempt"].note
    assert made["first content"].start == 210.0


def test_a_session_file_of_an_earlier_version_does_not_say_when_a_stage_began(logs):
    document, _ = find(Files(logs), "bbbbbbbb", logs / "bbbbbbbb")
    del document["starts_ms"]
    for step in document["steps"]:
        del step["start_ms"]
    document["queue_ms"] = 30.0
    made = {span.name.strip(): span.start for span in spans(document)}
    assert made["attempt"] == document["total_ms"] - 1400.0
    assert made["queue"] == made["attempt"] - 30.0


@pytest.mark.parametrize(
    ("name", "says"),
    [("dddddddd", "no session file"), ("../x", "not the id"), ("bad", "truncated")],
)
def test_what_is_not_there_is_a_sentence(logs, name, says):
    (logs / "bad").write_text("{")
    with pytest.raises(NoSessions, match=says):
        find(Files(logs), name, logs / name)


def test_what_the_conversation_meant_and_what_was_changed(logs):
    document, _ = find(Files(logs), "bbbbbbbb", logs / "bbbbbbbb")
    before = dict(facts(document))
    assert not {"conversation", "adjusted"} & {*before}
    more = {"session_policy": "kept; tool loop", "adjusted": ["tool calls repaired from text: 1"]}
    known = dict(facts(document | more))
    assert known["conversation"] == "kept; tool loop"
    assert known["adjusted"] == "tool calls repaired from text: 1"
