"""`evaluate`: its results, the files it writes, and its errors."""

import argparse
import json
from pathlib import Path

import pytest

from airouter.classify.cascade import Cascade
from airouter.classify.features import features_of
from airouter.classify.tiers.rules import RulesTier
from airouter.dialects.openai_request import parse_request
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError, RouterError
from airouter.domain.types import Decision, Features, Verdict
from airouter.evaluation.decider import Deciders, deciders, local_deciders
from airouter.evaluation.evaluate import add_arguments, outcome, read, run
from airouter.evaluation.outcome import Outcome
from airouter.evaluation.render import text
from airouter.evaluation.report import figures
from airouter.flow.exchange import Exchange
from airouter.flow.waits import Waiting
from airouter.settings.cascade import CascadeSettings

PROMPTS = [
    {
        "messages": [
            {
                "role": "user",
                "content": "Write a polite email to my landlord about the dripping kitchen tap.",
            }
        ],
        "label": "PRIMARY",
    },
    {"messages": [{"role": "user", "content": "weather in Lisbon tomorrow"}], "label": "ENRICH"},
    {
        "messages": [{"role": "user", "content": "a deep analysis of this week's bond market"}],
        "label": "ENRICH",
        "also_ok": ["COMPLEX"],
    },
    {
        "messages": [
            {
                "role": "user",
                "content": "### Task:\nMake a concise title summarizing the chat history.\n"
                "<chat_history>\nUSER: hi\nASSISTANT: hello\n</chat_history>",
            }
        ],
        "label": "META",
    },
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, PROMPTS)) + "\n\n")
    return path


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_offline_writes_the_promised_figures(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(parsed(str(file), "--offline", "--json", str(tmp_path / "out" / "f.json"))) == 0
    found = json.loads((tmp_path / "out" / "f.json").read_text())
    assert found["n"] == 4
    wanted = {
        "n",
        "coverage",
        "accuracy_on_covered",
        "harmful_on_covered",
        "meta_recall",
        "meta_false_rate",
        "ece",
        "decision_ms",
    }
    assert wanted <= set(found)
    assert set(found["decision_ms"]) == {"p50", "p99"}
    assert found["meta_recall"] == 1.0
    assert "accuracy on covered" in capsys.readouterr().out


def test_an_internal_prompt_that_stays_local_is_correct_but_not_recalled(tmp_path: Path) -> None:
    """An instruction with a transcript that matches no rule goes to the primary, without a
    search."""
    path = tmp_path / "one.jsonl"
    text = "Give a title for this chat, max 5 words.\nUser: hi\nAssistant: hello"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": text}], "label": "META"}))
    assert run(parsed(str(path), "--offline", "--json", str(tmp_path / "f.json"))) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    assert (found["coverage"], found["accuracy_on_covered"], found["meta_recall"]) == (1, 1, 0)
    assert found["confusion"]["META"]["PRIMARY"] == 1


def test_changes_of_shape_are_reported(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "f.json"
    shapes = ("--shape", "system", "--shape", "polite", "--shape", "polite")
    assert run(parsed(str(file), "--offline", *shapes, "--json", str(out))) == 0
    changed = json.loads(out.read_text())["changed"]
    assert {name: one["n"] for name, one in changed.items()} == {"system": 4, "polite": 3}
    printed = capsys.readouterr().out
    assert "change of shape" in printed
    assert "without model servers" in printed


def test_by_shape_language_class_and_origin(file: Path, tmp_path: Path) -> None:
    """Two files together; tools by name."""
    other, out = tmp_path / "other.jsonl", tmp_path / "f.json"
    fields = {"lang": "en", "origin": "mine", "tools": ["get_time"]}
    other.write_text(json.dumps(PROMPTS[0] | fields))
    assert run(parsed(str(file), str(other), "--offline", "--json", str(out))) == 0
    found = json.loads(out.read_text())
    assert found["by_shape"]["with tools"]["n"] == 1
    assert {name: one["n"] for name, one in found["by_language"].items()} == {
        "not stated": 4,
        "en": 1,
    }
    assert {name: one["n"] for name, one in found["by_class"].items()} == {
        "PRIMARY": 2,
        "ENRICH": 2,
        "META": 1,
    }
    assert list(found["by_origin"]) == ["mine"]
    assert sum(one["n"] for one in found["error_kinds"].values()) == 0


def test_the_picture(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run(parsed(str(file), "--offline", "--png", str(tmp_path / "curve.png"))) == 0
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_with_the_configured_cascade(file: Path, tmp_path: Path) -> None:
    def decide(features: Features) -> Decision:
        label = "ENRICH" if "weather" in features.ask else "MODERATE"
        verdict = Verdict("reasoning", label, p=0.9, ms=800.0)
        return Decision(label, "reasoning", 0.9, None, 801.0, (verdict,))

    assert run(parsed(str(file), "--json", str(tmp_path / "f.json")), Deciders(decide, decide)) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["coverage"] == 0, "a model call covers nothing"
    assert found["classes"]["PRIMARY"]["recall"] == 1
    assert found["tiers"]["reasoning"]["p50_ms"] == 800


def test_the_classifier_away(file: Path, tmp_path: Path) -> None:
    """Only what no instant tier decided is decided once more."""

    def decide(features: Features) -> Decision:
        tier = "rules" if features.ask.startswith("###") else "reasoning"
        label = "META" if tier == "rules" else "ENRICH"
        return Decision(label, tier, None, None, 1.0, ())

    def away(features: Features) -> Decision:
        assert not features.ask.startswith("###")
        return Decision("MODERATE", "fallback", None, None, 0.1, ())

    out = tmp_path / "f.json"
    assert run(parsed(str(file), "--json", str(out)), Deciders(decide, away)) == 0
    found = json.loads(out.read_text())["classifier_away"]
    assert (found["accuracy"], found["hard_answered_locally"]) == (0.5, 0.5)


def test_local_deciders_abstain_or_fall_back() -> None:
    """Without calls: the tiers that need none, then the best guess if it is probable enough."""
    settings = CascadeSettings(tiers=("rules", "cache", "reasoning"))
    decide, away = local_deciders(settings)
    features = features_of(parse_request("chat", {"messages": PROMPTS[0]["messages"]}))
    assert (decide(features).label, away(features).label) == ("", "MODERATE")
    assert [verdict.tier for verdict in away(features).verdicts] == ["rules"]
    assert away(features).verdicts[0].ms > 0


def test_without_calls_the_configured_cascade_asks_no_model() -> None:
    asked = []

    class Calling:
        name, instant = "reasoning", False

        def ask(self, exchange: Exchange, features: Features) -> Waiting[Verdict]:
            asked.append(features)
            yield from ()
            return Verdict("reasoning", "ENRICH")

    features = features_of(parse_request("chat", {"messages": PROMPTS[0]["messages"]}))
    decide, away = deciders(Cascade([RulesTier(), Calling()], Clock()), 5)
    assert away(features).tier == "fallback"
    assert asked == []
    assert decide(features).label == "ENRICH"


def test_without_a_cascade_it_says_so(file: Path) -> None:
    with pytest.raises(ConfigError, match="--offline"):
        run(parsed(str(file)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "contains no prompts"),
        ("{", ":1: each line"),
        (json.dumps({"messages": [], "label": "PRIMARY"}), ":1: each line"),
        (json.dumps({**PROMPTS[0], "label": "SIMPLE"}), "a label is one of"),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        run(parsed(str(path), "--offline"))
    assert said in caught.value.message


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read(tmp_path / "none.jsonl"))


def test_an_error_of_the_cascade_is_counted_not_raised() -> None:
    def decide(features: Features) -> Decision:
        raise RouterError("no", code="upstream_timeout")

    def local(features: Features) -> Decision:
        return Decision("MODERATE", "fallback", None, None, 0.1, ())

    one = outcome(PROMPTS[0], Deciders(decide, local))
    assert one.error == "upstream_timeout"
    assert figures([one])["errors"] == {"upstream_timeout": 1}


def made(
    label: str,
    decided: str | None,
    *,
    covered: bool = True,
    p: float = 0.9,
    also: tuple[str, ...] = (),
) -> Outcome:
    return Outcome(
        label,
        frozenset({label, *also}),
        decided,
        covered,
        "learned",
        p,
        decided or "PRIMARY",
        {"learned": 0.2},
        0.2,
    )


def test_what_counts_as_harmful() -> None:
    found = figures(
        [
            made("ENRICH", "PRIMARY"),
            made("COMPLEX", "PRIMARY"),
            made("ENRICH", "PRIMARY", also=("PRIMARY",)),
            made("COMPLEX", "ENRICH"),
            made("PRIMARY", "COMPLEX"),
            made("META", "PRIMARY"),
            made("PRIMARY", "META"),
            made("COMPLEX", "PRIMARY", covered=False),
        ]
    )
    assert found["harmful_on_covered"] == pytest.approx(2 / 7)
    assert found["cloud_instead_of_local"] == pytest.approx(1 / 7)
    assert found["meta_recall"] == 0
    assert found["meta_false_rate"] == pytest.approx(1 / 7)
    assert found["confusion"]["COMPLEX"]["PRIMARY"] == 2
    assert "PRIMARY" in text(found)


def test_nothing_covered_is_no_division() -> None:
    found = figures([made("PRIMARY", None, covered=False)])
    assert found["accuracy_on_covered"] is None
    assert found["harmful_upper_95"] == 1.0
    assert "-" in text(found)
