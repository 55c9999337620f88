"""Changes of a prompt's shape: what they add and keep, and which prompts they skip."""

import random
from typing import Any

import orjson
import pytest

from airouter.evaluation.shapes import SHAPES, changed, texts
from airouter.settings.load import ROOT

ASK = "Could you explain how the tides work? I never understood the second bulge."


def record(ask: str = ASK, label: str = "PRIMARY", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask}], "label": label, **fields}


def contents(one: dict[str, Any]) -> list[str]:
    return [message["content"] for message in one["messages"]]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_changes_the_prompt_always_alike_and_keeps_the_label(shape: str) -> None:
    before = record(lang="en", also_ok=["COMPLEX"])
    made = changed(before, shape)
    assert made is not None
    assert made["messages"] != before["messages"]
    assert (made["label"], made["also_ok"]) == ("PRIMARY", ["COMPLEX"])
    assert made == changed(before, shape)
    assert before == record(lang="en", also_ok=["COMPLEX"]), "the original is not touched"


def test_what_the_shapes_add() -> None:
    system, turn, polite, quoted = (
        changed(record("今天天气怎么样", lang="zh"), shape)
        for shape in ("system", "turn", "polite", "quoted")
    )
    assert system is not None
    assert [message["role"] for message in system["messages"]] == ["system", "user"]
    assert turn is not None
    assert tuple(contents(turn)[:2]) in map(tuple, texts()["turn"]["zh"])
    assert contents(turn)[2] == "今天天气怎么样"
    assert polite is not None
    assert quoted is not None
    assert all("今天天气怎么样" in contents(one)[0] for one in (polite, quoted))
    assert any(contents(polite)[0].startswith(one) for one in texts()["polite"]["zh"]["openings"])


def test_a_language_without_texts_gets_english_ones() -> None:
    made = changed(record("Habari ya leo?", lang="sw"), "quoted")
    assert made is not None
    assert contents(made)[0] in [
        form.replace("{}", "Habari ya leo?") for form in texts()["quoted"]["en"]
    ]


def test_typing_errors_are_few_and_not_in_scripts_without_case() -> None:
    for i in range(50):
        made = changed(record(f"{ASK} Please use {i} sentences."), "typos")
        assert made is not None
        before, after = f"{ASK} Please use {i} sentences.".lower(), contents(made)[0].lower()
        assert abs(len(before) - len(after)) <= 4
        assert len(set(before.split()) ^ set(after.split())) <= 8
    chinese = changed(record("今天天气怎么样？"), "typos")
    assert chinese is None or contents(chinese)[0] == "今天天气怎么样"


@pytest.mark.parametrize(
    ("messages", "label", "shapes"),
    [
        ([{"role": "system", "content": "Be brief."}], "PRIMARY", {"system"}),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
         "PRIMARY", {"turn"}),
        ([], "META", {"polite", "quoted", "turn", "typos"}),
    ],
)  # fmt: skip
def test_prompts_that_are_skipped(messages: list[Any], label: str, shapes: set[str]) -> None:
    one = record(label=label)
    one["messages"] = [*messages, *one["messages"]]
    assert {shape for shape in SHAPES if changed(one, shape) is None} == shapes


@pytest.mark.parametrize(
    "content",
    [
        "<system-reminder>The file has changed.</system-reminder>\nfix the failing test",
        [{"type": "text", "text": ASK}],
    ],
)
def test_text_that_a_harness_added_to_and_parts_are_not_touched(content: Any) -> None:
    one = record()
    one["messages"][0]["content"] = content
    assert changed(one, "polite") is changed(one, "quoted") is changed(one, "typos") is None


def test_the_texts_are_many_and_not_those_of_the_training_data() -> None:
    system = [text for own in texts()["system"].values() for text in own]
    polite = [
        text
        for own in texts()["polite"].values()
        for text in (*own["openings"], *own["closings"])
        if text
    ]
    assert len(set(system)) >= 40
    assert len(set(polite)) >= 30
    for shape, by_language in texts().items():
        for lang in by_language:
            one = record(lang=lang)
            assert SHAPES[shape](one["messages"], lang, random.Random(1)), (shape, lang)
    learned = {
        str(message["content"])
        for path in (ROOT / "data" / "prompts").glob("*.jsonl")
        for line in path.read_bytes().splitlines()
        for message in orjson.loads(line)["messages"]
    }
    assert len(learned) > 5000
    turns = [text for own in texts()["turn"].values() for turn in own for text in turn]
    assert not learned & {*system, *turns}
