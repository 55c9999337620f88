"""Malformed lines, duplicates and leaks are found; the shipped data has none of them."""

import json
from pathlib import Path

import pytest

from learn.check_data import duplicates, jaccard, main, missing, normalised
from learn.data import CLASSES, parse_line, read_prompts


def line(text: str, label: str = "PRIMARY", origin: str = "a", **more: object) -> str:
    return json.dumps(
        {
            "messages": [{"role": "user", "content": text}],
            "label": label,
            "lang": "en",
            "origin": origin,
            **more,
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        json.dumps({"label": "PRIMARY", "lang": "en", "origin": "a"}),
        line("hi", label="SIMPLE"),
        line("hi", also_ok=["MAYBE"]),
        line("hi", surprise=1),
        line(""),
        line("hi", lang="english"),
        json.dumps(
            {
                "messages": [{"role": "assistant", "content": "hi"}],
                "label": "PRIMARY",
                "lang": "en",
                "origin": "a",
            }
        ),
        json.dumps({"messages": "hi", "label": "PRIMARY", "lang": "en", "origin": "a"}),
    ],
)
def test_a_malformed_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_line(text, "a.jsonl:1")


def test_a_second_label_is_accepted() -> None:
    prompt = parse_line(
        line("a deep look at this week's market", "ENRICH", also_ok=["COMPLEX"]), "a.jsonl:1"
    )
    assert prompt.accepted == {"ENRICH", "COMPLEX"}


def prompts(*pairs: tuple[str, str]) -> list:  # type: ignore[type-arg]
    return [
        parse_line(line(text, origin=origin), f"{origin}.jsonl:{i}")
        for i, (text, origin) in enumerate(pairs)
    ]


def test_exact_and_near_duplicates_are_found_across_origins() -> None:
    found = duplicates(
        prompts(
            ("What is the capital of Norway?", "a"),
            ("what is the capital of  norway", "b"),
            (
                "Please explain step by step how photosynthesis works in desert plants such as "
                "cacti.",
                "a",
            ),
            (
                "Please explain step by step how photosynthesis works in desert plants, such as "
                "cacti!!",
                "b",
            ),
            ("What is the capital of Sweden?", "a"),
        )
    )
    assert [(a, b) for a, b, _ in found] == [(0, 1), (2, 3)]
    assert found[0][2] == 1.0


def test_other_names_or_other_last_turns_are_no_duplicates() -> None:
    talk = [
        {
            "role": "user",
            "content": "Tell me a long story about a dragon who could not breathe fire at all",
        },
        {"role": "assistant", "content": "Once…"},
    ]
    a, b = (
        parse_line(
            json.dumps(
                {
                    "messages": [*talk, {"role": "user", "content": last}],
                    "label": "PRIMARY",
                    "lang": "en",
                    "origin": "a",
                }
            ),
            "a:1",
        )
        for last in ("shorter please", "and in French")
    )
    assert duplicates([a, b]) == []


def test_normalising() -> None:
    assert normalised("  Ｗhat?!  Is  it… ") == "what is it"
    assert normalised("?!") == "?!"
    assert jaccard(frozenset(), frozenset()) == 1.0


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text(line("Is 91 prime?") + "\n" + line("hello") + "\nbroken\n")
    (tmp_path / "b.jsonl").write_text(line("is 91 prime", origin="b", label="ENRICH") + "\n")
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "a.jsonl:3" in said
    assert "LABELS DIFFER" in said
    assert "1 duplicates, 1 of them leaks" in said
    assert "too few" in said


@pytest.mark.tools
def test_the_shipped_data_is_clean_and_broad() -> None:
    shipped, faults = read_prompts()
    assert faults == []
    assert missing(shipped) == []
    assert duplicates(shipped) == []
    assert {prompt.label for prompt in shipped} == set(CLASSES)
