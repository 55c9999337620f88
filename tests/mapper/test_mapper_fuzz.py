"""Whatever is sent to the mapper, the answer is valid, and no fault of the router's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mapper_app import Client, make_app
from mapper_world import DETECTOR

from airouter.mapper.output_schema import OutputSchema
from airouter.mapper.service import Mapper

EXAMPLES = 175
WORDS = ("toxic", "hate", "PII", "non-", " ", "|", "_", "/", "é", "\u202e", "\x00", "🙂")
OUTPUTS = st.lists(st.sampled_from(WORDS), max_size=6).map("".join) | st.text(max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70)
LISTS = st.lists(SCALARS, max_size=3)
JSON = SCALARS | LISTS | st.dictionaries(st.text(max_size=5), SCALARS | LISTS, max_size=3)
GOOD = {"detector": DETECTOR, "output": "toxic", "tenant_id": "t"}


def inputs(outputs: list[str], values: list[Any]) -> list[Any]:
    """Requests with these outputs; these values as requests, and in place of each of its fields."""
    names = ("detector", "output", "tenant_id", "metadata", "more")
    return [
        *({**GOOD, "output": output} for output in outputs),
        *values,
        *({**GOOD, name: value} for value in values for name in names),
    ]


sent = 0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("fuzz")
    app = make_app(folder, mapper={"serving_mode": "rules_only"})
    yield Client(app)
    app.extensions["airouter"].close()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(outputs=st.tuples(OUTPUTS, OUTPUTS), drawn=st.tuples(JSON, JSON), raw=st.binary(max_size=40))
def test_every_answer_is_valid(
    client: Client, outputs: tuple[str, str], drawn: tuple[Any, Any], raw: bytes
) -> None:
    global sent
    values = inputs([*outputs], [*drawn])
    for value in (*values, raw):
        assert client.post("/map", value)[0] in (200, 400)
    status, answer = client.post("/map/batch", {"requests": values})
    # What Python writes as NaN or a lone surrogate is no JSON.
    assert status == (200 if is_json(values) else 400)
    if status == 200:
        failed = {error["index"] for error in answer["errors"]}
        results = answer["results"]
        assert [result is None for result in results] == [i in failed for i in range(len(values))]
    assert client.post("/map/batch", raw)[0] == 400
    sent += 2 * len(values) + 2


def is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, UnicodeEncodeError):
        return False
    return True


def test_enough_was_sent() -> None:
    assert sent >= 5_000


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    value=JSON
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("taxonomy", "scores", "confidence", "notes"), JSON)
    ),
    text=st.text(max_size=20),
)
def test_whatever_a_model_says(client: Client, value: Any, text: str) -> None:  # fmt: skip
    mapper: Mapper = client.app.extensions["airouter"].state.mapper
    schema: OutputSchema = mapper.schema
    for said in (json.dumps(value), text, text + json.dumps(value)):
        found = schema.check(said).mapped
        assert found is None or set(found.scores) <= set(mapper.vocabulary.taxonomy.labels)
