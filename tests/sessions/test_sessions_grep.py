"""Searching questions and answers."""

import re

from airouter.sessions.files import Files
from airouter.sessions.grep import search


def found(logs, pattern, since=None):
    return [
        (document["id"][0], line.plain)
        for document, lines in search(Files(logs), re.compile(pattern), since)
        for line in lines
    ]


def test_questions_and_answers_are_searched_and_shown_harmless(logs):
    [(session, line)] = found(logs, "her.n")
    assert (session, "heron" in line, "\x1b" in line) == ("a", True, False)
    assert found(logs, "egret") == [("b", "  provider_call: an egret")]
    assert found(logs, "be brief") == []  # the system's


def test_since(logs):
    assert found(logs, "heron", since=4e9) == []
