"""Every marker of `config/meta_markers.yaml` recognises its prompt, and no person's words about it.

The requests are built from the file: the marker's phrases, with words of our own between them, at
the place that it names. People quote such a phrase, ask about it, or mention it later in a text.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from airouter.classify.tiers.rules import PATH, RulesTier
from airouter.domain.types import Features
from airouter.settings.load import ROOT
from tests.classify.make import features

DATA = yaml.safe_load(PATH.read_text("utf-8"))
MARKERS: list[dict[str, Any]] = DATA["markers"]
TIER = RulesTier()
TURNS = (("user", "who won the match last night"), ("assistant", "I cannot look that up."))
TALK = "USER: who won the match last night\nASSISTANT: I cannot look that up."


def prompt_of(marker: dict[str, Any]) -> str:
    """The prompt as the frontend sends it, in other words."""
    return ", and so on. ".join(marker["all"]) + ("" if marker.get("ends") else ", and so on.")


def requests_of(marker: dict[str, Any]) -> dict[str, Features]:
    """Features of the frontend's requests, by place."""
    prompt = prompt_of(marker)
    if marker.get("ends"):
        ask = prompt
    elif marker["where"] == "end":
        ask = f"{TALK * 20}\n{prompt}"
    else:
        ask = f"{prompt}\n{TALK}"
    made = {
        "ask": features(("system", "You are a friendly helper."), ask),
        "turn": features(("system", "x" * 3000), *TURNS, f"{prompt}\n{'Be thorough. ' * 300}"),
        "system": features(("system", prompt), "who won the match last night"),
        "last": features(*TURNS, prompt),
        "exact": features(marker["all"][0]),
    }
    made["end"] = made["ask"]
    places = ("ask", "turn", "system") if marker["where"] == "any" else (marker["where"],)
    return {place: made[place] for place in places}


def people_of(marker: dict[str, Any]) -> dict[str, Features]:
    """Features of people's requests that contain the marker's phrases."""
    prompt = prompt_of(marker)
    helper = ("system", "You are a friendly helper.")
    return {
        "quotes it": features(helper, f'Why does my app send "{prompt}" after each message?'),
        "asks about it": features(*TURNS, f"My log is full of this, what is it: {prompt}"),
        "mentions it late": features(
            "I keep notes about the programs that I use at home. " * 8
            + f"One of them always writes {marker['all'][0]} into its log. "
            + "How do I filter such lines out of the file that I read in the morning? " * 7
        ),
        "begins with a question": features(f"Could you translate this? {prompt} (end of text)"),
    }


def name_of(marker: dict[str, Any]) -> str:
    return f"{marker['frontend']}: {marker['task']}: {marker['all'][0]}"


def test_each_marker_recognises_its_prompt() -> None:
    missed = [
        (name_of(marker), place)
        for marker in MARKERS
        for place, request in requests_of(marker).items()
        if TIER.vote(request).label != "META"
    ]
    assert missed == []


def test_a_person_who_quotes_or_mentions_a_marker_is_not_a_frontend() -> None:
    taken = [
        (name_of(marker), how)
        for marker in MARKERS
        for how, request in people_of(marker).items()
        if TIER.vote(request).label == "META"
    ]
    assert taken == []


LOOK_ALIKES: dict[str, list[Any]] = yaml.safe_load(
    Path(__file__).with_name("look_alikes.yaml").read_text("utf-8")
)


def request_of(entry: Any) -> Features:
    """Features of an entry of `look_alikes.yaml`."""
    if isinstance(entry, dict):
        return features(("system", entry["system"]), entry["ask"])
    if isinstance(entry, list):
        return features(*zip(("user", "assistant") * len(entry), entry, strict=False))
    return features(entry)


@pytest.mark.parametrize("frontend", sorted({marker["frontend"] for marker in MARKERS}))
def test_people_who_resemble_a_frontend_are_not_meta(frontend: str) -> None:
    entries = LOOK_ALIKES[frontend]
    assert len(entries) >= 2
    assert [entry for entry in entries if TIER.vote(request_of(entry)).label == "META"] == []


def test_at_least_sixteen_frontends_have_a_public_source() -> None:
    """Besides the four of `test_current_frontends.py`; each names its repository."""
    public = {
        marker["frontend"] for marker in MARKERS if DATA["sources"][marker["source"]].get("url")
    }
    assert len(public) >= 16
    for name, source in DATA["sources"].items():
        assert source.get("url", "https://").startswith("https://"), name


def test_the_documentation_lists_each_frontend() -> None:
    listed = (ROOT / "docs" / "routes.md").read_text("utf-8")
    assert [name for name in LOOK_ALIKES if f"| [{name}](" not in listed] == []
