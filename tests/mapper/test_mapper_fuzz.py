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

from airouter.mapper.schema import OutputSchema
from airouter.mapper.service import Mapper

AT_ONCE = 12  # inputs per example, each to /map, and all of them to /map/batch
EXAMPLES = 250
WORDS = ("toxic", "hate", "PII", "non-", " ", "|", "_", "/", "é", "\u202e", "\x00", "🙂")
OUTPUTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=8).map("".join)
NAMES = st.sampled_from((DETECTOR, "detoxify", "nobody's", "")) | st.text(max_size=70)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=6,
)
REQUESTS = st.fixed_dictionaries(
    {"detector": NAMES, "output": OUTPUTS, "tenant_id": st.text(min_size=1, max_size=8)},
    optional={"metadata": JSON, "more": JSON},
)
INPUTS = st.lists(
    REQUESTS | JSON | st.fixed_dictionaries({}, optional={"output": JSON, "detector": JSON}),
    min_size=AT_ONCE,
    max_size=AT_ONCE,
)
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
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(values=INPUTS, raw=st.binary(max_size=40))
def test_every_answer_is_valid(client: Client, values: list[Any], raw: bytes) -> None:
    global sent
    for value in (*values, raw):
        assert client.post("/map", value)[0] in (200, 400)
    status, answer = client.post("/map/batch", {"requests": values})
    # What Python writes as NaN or a lone surrogate is no JSON.
    assert status == (200 if is_json(values) else 400)
    if status == 200:
        failed = {error["index"] for error in answer["errors"]}
        results = answer["results"]
        assert [result is None for result in results] == [i in failed for i in range(AT_ONCE)]
    assert client.post("/map/batch", raw)[0] == 400
    sent += 2 * AT_ONCE + 2


def is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, UnicodeEncodeError):
        return False
    return True


def test_enough_was_sent() -> None:
    assert sent >= 5_000


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
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
