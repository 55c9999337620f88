"""The controls of frameworks."""

from __future__ import annotations

from pathlib import Path

import pytest

from airouter.domain.errors import ConfigError
from airouter.mapper.frameworks import Frameworks
from tests.mapper.shipped import FOLDER, TAXONOMY, broken

FRAMEWORKS = Frameworks.load(FOLDER, TAXONOMY)


def test_the_three_frameworks_have_the_controls_that_they_must() -> None:
    assert FRAMEWORKS.names == ("SOC 2", "ISO 27001", "HIPAA")
    injection = FRAMEWORKS.controls("PROMPT_INJECTION.Indirect")
    assert {("SOC 2", "CC7.2"), ("ISO 27001", "A.12.4.1"), ("HIPAA", "164.308(a)")} <= set(
        injection
    )


def test_a_category_stands_for_all_its_labels() -> None:
    for label in TAXONOMY.labels:
        assert (("SOC 2", "P6.1") in FRAMEWORKS.controls(label)) == label.startswith("PII.")


def test_a_label_that_no_control_is_about() -> None:
    assert FRAMEWORKS.controls("OTHER.Unknown") == FRAMEWORKS.controls("nonsense") == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[HARM.CRIME.Malware]", "[HARM.CRIME.Mal]", "no label or category 'HARM.CRIME.Mal'"),
        ("[HARM.CRIME.Malware]", "[HARM.CRIME, HARM.CRIME.Malware]", "CC6.8 names HARM.CRIME.Malw"),
        ("[HARM.CRIME.Malware]", "[]", "labels: List should have at least 1 item"),
        ("title: Event logging", "titel: Event logging", "title: Field required."),
    ],
)
def test_each_mistake_is_a_sentence(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Frameworks.load(broken(tmp_path, "frameworks.yaml", old, new), TAXONOMY)
    assert expected in caught.value.message.splitlines()[0]
