"""The compiled prediction: the same numbers as numpy's, and numpy's wherever it cannot be made."""

import ctypes
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airouter.classify.learned import kernel
from airouter.classify.learned.kernel import compiled, predictor
from airouter.classify.learned.text_features import encode
from airouter.classify.learned.text_model import Model
from airouter.classify.tiers.learned import LearnedTier
from airouter.domain.clock import Clock
from airouter.domain.types import Features

# What numpy computed with the shipped model, on the day of its training.
NUMBERS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data/learned_numbers.jsonl").read_text().splitlines()
]
HIDDEN = 64
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def request(ask: str, previous: Any = (), system: str = "") -> Features:
    turns = tuple((role, text) for role, text in previous)
    return Features(
        ask=ask, previous=turns, system=system, last_role="user", last_text=ask,
        n_messages=1 + len(turns) + bool(system), n_user=1 + sum(r == "user" for r, _ in turns),
        total_chars=len(ask), has_tools=False, has_images=False, task=None,
    )  # fmt: skip


REQUESTS = [request(one["ask"] * one["times"], one["previous"], one["system"]) for one in NUMBERS]


@pytest.fixture(params=["compiled", "numpy"])
def tier(request: pytest.FixtureRequest, model: Model, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "compiled", lambda hidden: None)
    elif compiled(HIDDEN) is None:
        pytest.skip("there is no C compiler")
    return LearnedTier(model, Clock())


def test_the_numbers_are_as_before(tier: LearnedTier) -> None:
    for before, features in zip(NUMBERS, REQUESTS, strict=True):
        found = tier._predict(features)
        assert found.p == pytest.approx(before["p"], abs=1e-6), before["ask"][:60]
        assert found.unseen_ratio == pytest.approx(before["unseen"], abs=1e-7)
        verdict = tier.vote(features)
        assert (verdict.label, verdict.guess, verdict.reason) == (
            before["label"],
            before["guess"],
            before["reason"],
        )


@needs_compiler
@given(st.text(max_size=2500), st.text(max_size=400), st.text(max_size=400))
def test_any_text_has_the_same_numbers(model: Model, ask: str, earlier: str, system: str) -> None:
    features = request(ask, [("assistant", earlier)] if earlier else [], system)
    fast, slow = predictor(model)(features), model.predict(encode(features, model.spec))
    assert fast.p == pytest.approx(slow.p, abs=2e-6)
    assert fast.unseen_ratio == slow.unseen_ratio


@needs_compiler
def test_threads_do_not_disturb_each_other(model: Model) -> None:
    predict = predictor(model)
    alone = [predict(one) for one in REQUESTS]
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: [predict(one) for one in REQUESTS], range(16)):
            assert found == alone


@needs_compiler
def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(compiled(HIDDEN, tmp_path), ctypes.PyDLL)
    [file] = tmp_path.iterdir()
    monkeypatch.setattr(kernel.shutil, "which", lambda name: None)
    assert isinstance(compiled(HIDDEN, tmp_path), ctypes.PyDLL)
    assert compiled(HIDDEN + 1, tmp_path) is None, "another model needs another library"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("compiler", [None, "false", "no-such-program"])
def test_without_a_working_compiler_there_is_no_library(
    compiler: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel.shutil, "which", lambda name: compiler)
    assert compiled(HIDDEN, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_or_a_broken_library_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    assert compiled(HIDDEN, tmp_path / "file") is None
    monkeypatch.setattr(kernel, "_compile", lambda file, flags: file.write_bytes(b"no library"))
    assert compiled(HIDDEN, tmp_path) is None


@needs_compiler
def test_a_library_with_other_numbers_is_not_used(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_kept", lambda row_of: row_of[: 2**15].astype("uint64") * 0)
    features = REQUESTS[0]
    assert predictor(model)(features) == model.predict(encode(features, model.spec))
