"""`learn`: each subcommand at work, and the one sentence per mistake."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from records import record, session_loggers
from tuned_models import BASE, add

from airouter.__main__ import main
from airouter.classify.tuned.registry import Registry
from airouter.cli import learn
from airouter.domain.types import Verdict
from airouter.learning.gate import Figures
from airouter.learning.store import Store
from airouter.learning.train import Trained
from airouter.settings.load import ENVIRONMENT, ROOT

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `learn` with folders of its own; returns status, output and error output."""
    for name in (*ENVIRONMENT, "ROUTER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    settings = yaml.safe_load((ROOT / "config" / "router.yaml").read_text())
    settings["cascade"]["tuned"] = {"enabled": True, "dir": str(tmp_path / "tuned")}
    settings["logging"] = {"dir": str(tmp_path / "logs")}
    (tmp_path / "router.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("ROUTER_CONFIG", str(tmp_path / "router.yaml"))
    monkeypatch.chdir(tmp_path)

    def learn(*arguments: str) -> tuple[int, str, str]:
        status = main(["learn", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return learn


def test_from_nothing_to_a_promotion(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("status")
    assert status == 0
    assert "Examples: none." in out
    assert "In service: none" in out
    add(tmp_path / "tuned")
    assert run("promote")[:2] == (
        0,
        "The model 2026-03-09-1 is in service: each worker uses it within a second.\n",
    )
    Store(tmp_path / "tuned").count_shadow("2026-03-09-1", {("reasoning", "agrees"): 1234})
    _, out, _ = run("status")
    assert "In service: 2026-03-09-1\n  in shadow, reasoning decided: agrees in 1,234\n" in out
    assert "live checks within a week: 0 (judged from 50 on), none" in out
    assert run("rollback")[:2] == (0, "In service now: no tuned model.\n")


def test_status_says_why_a_model_is_not_used(run: Run, tmp_path: Path) -> None:
    registry = add(tmp_path / "tuned")
    registry.promote(None, BASE)
    registry.drift("2026-03-09-1")
    (tmp_path / "tuned" / "2026-03-09-1.json").write_bytes(b"{}")
    _, out, _ = run("status")
    assert "In shadow: 2026-03-09-1 (not used: the tuned model 2026-03-09-1 or its card" in out
    assert "back in shadow since its live agreement fell" in out


def test_sessions_are_collected(run: Run, tmp_path: Path) -> None:
    with session_loggers(tmp_path / "logs" / "sessions") as build:
        logger = build()
        said = (Verdict("reasoning", "SIMPLE", finish_reason="label"),)
        logger.emit(record(tier="reasoning", label="SIMPLE", verdicts=said))
        logger.emit(record(id="b" * 16))
        assert logger.flush(20)
    old = {"cascade": {"tuned": {"dir": str(tmp_path / "tuned"), "max_age_days": 10_000}}}
    path = tmp_path / "router.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["cascade"]["tuned"] |= old["cascade"]["tuned"]
    path.write_text(yaml.safe_dump(settings))
    status, out, err = run("collect", "--log-dir", "logs")
    assert (status, out) == (0, "1 new examples; 1 in all, of 2026-03-01 to 2026-03-01.\n")
    assert "not labelled by the reasoning tier" in err
    assert run("collect")[1].startswith("0 new examples; 1 in all")


@pytest.mark.parametrize("refused", [[], ["it is bad", "very bad"]])
def test_a_training_says_what_the_gate_found(
    run: Run, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    trained = Trained("2026-03-09-1", Figures(500, 400, 396, 2, 100), refused)
    monkeypatch.setattr("airouter.learning.train.train", lambda *_: trained)
    status, out, _ = run("train")
    assert "covers 80.0% (in service now: 20.0%), agrees with the classifier in 99.0%" in out
    if refused:
        assert status == 1
        assert out.endswith("refused the model 2026-03-09-1: very bad.\n")
    else:
        assert status == 0
        assert out.endswith("passed the gate and is in shadow.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "There are 0 examples on which the learned tier abstains, and 900 are needed"),
        (["promote"], "no tuned model is in shadow; run `learn train`"),
        (["promote", "2026-01-01-1"], "has not passed the gate"),
        (["rollback"], "no tuned model is in service"),
    ],
)
def test_a_mistake_is_a_sentence(run: Run, arguments: list[str], says: str) -> None:
    status, _, err = run(*arguments)
    assert status == 1
    assert says in err


def test_it_says_when_the_tier_is_off(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    path.write_text(path.read_text().replace("enabled: true", "enabled: false"))
    add(tmp_path / "tuned")
    assert "The tier is off" in run("promote")[1]
    assert "Tier: off" in run("status")[1]
    assert Registry(tmp_path / "tuned").state().service is not None
    assert set(learn.COMMANDS) == {"collect", "train", "status", "promote", "rollback"}
