"""The taxonomy, and each kind of mistake in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.mapper.taxonomy import CATEGORIES, PATTERN, UNKNOWN, Taxonomy
from tests.mapper.shipped import TAXONOMY, broken


def test_the_shipped_taxonomy_has_what_it_must() -> None:
    assert len(TAXONOMY.labels) >= 45
    assert {label.category for label in TAXONOMY.labels.values()} == set(CATEGORIES)
    assert UNKNOWN in TAXONOMY.labels
    for name, label in TAXONOMY.labels.items():
        assert re.match(PATTERN, name)
        assert name == label.name
        assert name.startswith(f"{label.category}.")
        assert label.description
        assert label.aliases or name == UNKNOWN


def test_a_label_is_found_by_name_and_alias() -> None:
    for name, label in TAXONOMY.labels.items():
        for text in (name, *label.aliases):
            assert TAXONOMY.find(text) == TAXONOMY.find(f" {text.upper()} ") == name
    assert TAXONOMY.find("Email_Address") == "PII.CONTACT.Email"
    assert [TAXONOMY.find(text) for text in ("", "nontoxic", "HARM.SPEECH", "speech")] == [None] * 4


def test_it_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TAXONOMY.labels["HARM.New"] = TAXONOMY.labels[UNKNOWN]  # type: ignore[index]


MISTAKES = [
    ("aliases: [toxic, ", "aliases: [Obscene, toxic, ", "'obscene' is given 2 times"),
    ("aliases: [toxic, ", "aliases: [other.unknown, toxic, ", "'other.unknown' is given 2 times"),
    ("aliases: [toxic, ", "aliases: [toxic, Toxic, ", "'toxic' is given 2 times"),
    ("aliases: [toxic, ", "aliases: [no, ", "aliases.0: Input should be a valid string."),
    ("aliases: [toxic, ", "alias: [toxic, ", "alias: Extra inputs are not permitted."),
    ("        Toxicity:", "        Toxi-city:", "the name HARM.SPEECH.Toxi-city does not match"),
    ("        Insult:", "        Toxicity:", "'Toxicity' is set twice, in lines "),
    ("      Unknown: ", "      Unsure: ", "the label OTHER.Unknown is missing."),
    (
        "  JAILBREAK:",
        "  JAILBREAKS:",
        "the categories must be PII, JAILBREAK, PROMPT_INJECTION, HARM, BIAS,",
    ),
    ("output is not known", "output is not known\n        aliases: [x]", "must have no aliases"),
    ("version: 1.0.0", "version: 1.0", "version: Input should be a valid string."),
    ("description: Rude", "description: [Rude", "is not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "expected"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_each_mistake_is_a_sentence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Taxonomy.load(broken(tmp_path, "taxonomy.yaml", old, new))
    (sentence,) = caught.value.message.splitlines()
    assert expected in sentence
    assert "taxonomy.yaml" in sentence
    assert sentence.endswith((".", "]"))


def test_a_folder_without_a_taxonomy_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"taxonomy\.yaml does not exist"):
        Taxonomy.load(tmp_path)
