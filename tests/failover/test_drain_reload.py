"""Going out of service, ending, and taking up a new configuration, under way and with several
workers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml
from harness import Stream, ask, body, eventually, is_whole, steer
from resilience_harness import CHAIN_MODEL, Running, admin, status, well, workers_say

from bench.router_process import RouterProcess
from simulator.testing import Simulator


def slowly(tokens: int, tps: float) -> str:
    return steer("Slowly", all={"tokens": tokens, "tps": tps})


def readiness(router: RouterProcess) -> int:
    return router.get("/health/readiness", headers={"Connection": "close"}).status_code


def sessions(router: RouterProcess) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (router.log_dir / "sessions").glob("*.json")]


def configuration(router: RouterProcess) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (router.folder / "router.yaml").read_text(encoding="utf-8")
    )
    return found


def write(router: RouterProcess, text: str) -> None:
    fresh = router.folder / "fresh.yaml"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(router.folder / "router.yaml")


def test_draining_is_told_and_still_serves(make_chain, sim: Simulator) -> None:
    """A drained server answers readiness with 503 and every request as before; it can be put
    back."""
    router = make_chain("primary")
    assert readiness(router) == 200
    assert admin(router, "drain").json() == {"draining": True}
    assert readiness(router) == 503
    assert router.get("/health/liveness").status_code == 200
    assert status(router)["draining"] is True
    well(ask(router, "Hello", **CHAIN_MODEL))
    assert admin(router, "drain", {"draining": False}).json() == {"draining": False}
    assert readiness(router) == 200


def test_sigterm_lets_every_stream_end(make_chain, sim: Simulator) -> None:
    """Twenty streams and some whole answers under way: all complete, every record written, exit
    status 0."""
    router = make_chain("primary", each={"slots": 64, "total_timeout": 30})
    text = slowly(30, 12)
    streams = Running(lambda: Stream(router, body(text, **CHAIN_MODEL)).read(), 20)
    answers = Running(lambda: ask(router, text, **CHAIN_MODEL), 4)
    eventually(lambda: sim.stats("primary")["running"] == 24)
    assert router.stop() == 0
    for stream in streams.all():
        assert is_whole(stream.text)
        assert (stream.finish_reasons, stream.done, stream.error) == (["stop"], True, None)
    for answer in answers.all():
        well(answer)
    records = sessions(router)
    assert len(records) == 24
    assert {record["outcome"] for record in records} == {"ok"}
    lines = [line for line in router.log() if " - INFO - REQUEST " in line]
    assert len(lines) == 24
    assert "Traceback" not in router.printed()


def test_what_is_left_at_the_limit_is_ended_honestly(make_chain, sim: Simulator) -> None:
    """Streams that would outlast timeouts.drain end with an error event, are recorded, and the exit
    status is still 0."""
    router = make_chain("primary", each={"total_timeout": 60}, timeouts={"drain": 1})
    streams = Running(lambda: Stream(router, body(slowly(600, 10), **CHAIN_MODEL)).read(), 3)
    eventually(lambda: sim.stats("primary")["running"] == 3)
    time.sleep(0.5)
    assert router.stop() == 0
    for stream in streams.all():
        assert stream.text
        assert not stream.done
        assert stream.error is not None
        assert stream.error["code"] == "shutting_down"
    assert [record["outcome"] for record in sessions(router)] == ["truncated"] * 3


def test_nothing_remains_after_the_end(make_chain, tmp_path: Path) -> None:
    """The private control file goes with the server, and the user's home is left alone."""
    home, control = tmp_path / "home", tmp_path / "control.json"
    home.mkdir()
    router = make_chain("primary", env={"AIROUTER_CONTROL": str(control), "HOME": str(home)})
    admin(router, "drain")
    assert control.exists()
    assert router.stop() == 0
    assert not control.exists()
    assert list(home.iterdir()) == []


def test_reload_under_load(make_chain, sim: Simulator) -> None:
    """Ten reloads, half of them of an invalid file, while clients keep asking: no request fails,
    and the invalid ones change nothing."""
    router = make_chain("primary", "second", each={"slots": 16})
    good = configuration(router)
    stop, answers, failures = [], [], []

    def keep_asking() -> None:
        while not stop:
            answer = ask(
                router, "Hello", model="primary-model" if len(answers) % 2 else "ai-router/primary"
            )
            answers.append(answer.status_code)
            if answer.status_code != 200:
                failures.append(answer.text)

    clients = Running(keep_asking, 3)
    stream = Running(lambda: Stream(router, body(slowly(40, 15), **CHAIN_MODEL)).read())
    for number in range(10):
        if number % 2:
            broken = (
                "backends: ["
                if number % 4 == 1
                else yaml.safe_dump(
                    {**good, "backends": {**good["backends"], "primary": {"slts": 3}}}
                )
            )
            write(router, broken)
            before = status(router)
            answer = admin(router, "reload")
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "invalid_configuration"
            assert "Nothing was changed" in answer.json()["error"]["message"]
            assert ("YAML" if number % 4 == 1 else "slts") in answer.json()["error"]["message"]
            assert status(router)["generation"] == before["generation"]
            assert (
                status(router)["backends"]["primary"]["slots"]
                == before["backends"]["primary"]["slots"]
            )
        else:
            good["backends"]["primary"]["slots"] = 20 + number
            write(router, yaml.safe_dump(good))
            assert admin(router, "reload").status_code == 200
            assert status(router)["backends"]["primary"]["slots"] == 20 + number
        time.sleep(0.1)
    asked = len(answers)
    eventually(lambda: len(answers) > asked + 5)
    stop.append(True)
    clients.all()
    assert failures == []
    told = stream.one()
    assert is_whole(told.text)
    assert told.done


def test_a_reload_keeps_what_is_not_configuration(make_chain, sim: Simulator) -> None:
    """A backend that was taken out stays out when its settings change; one whose settings are the
    same keeps its breaker."""
    router = make_chain("primary", "second", each={"cooldown": 300}, queue={"hold_wait": 0.3})
    sim.refuse("embedding")
    admin(router, "events", {"event": "backend.out", "backend": "primary"})
    assert ask(router, "Hello", **CHAIN_MODEL).status_code == 502
    changed = configuration(router)
    changed["backends"]["primary"]["slots"] = 3
    write(router, yaml.safe_dump(changed))
    assert admin(router, "reload").status_code == 200
    told = status(router)["backends"]
    assert (told["primary"]["out"], told["primary"]["slots"]) == (True, 3)
    assert told["second"]["breaker"] == "cooling"


def test_every_worker_obeys(make_chain, sim: Simulator) -> None:
    """With two worker processes a drain, a reload and an event that one of them was told reach
    both."""
    router = make_chain("primary", env={"WORKERS": "2"})
    assert len(eventually(lambda: router.workers if len(router.workers) == 2 else [])) == 2
    admin(router, "drain")
    workers_say(router, lambda told: told["draining"] is True, 2)
    admin(router, "drain", {"draining": False})
    workers_say(router, lambda told: told["draining"] is False, 2)
    changed = configuration(router)
    changed["backends"]["primary"]["slots"] = 10
    write(router, yaml.safe_dump(changed))
    assert admin(router, "reload").status_code == 200
    workers_say(
        router,
        lambda told: told["generation"] == 1 and told["backends"]["primary"]["slots"] == 5,
        2,
    )
    admin(router, "events", {"event": "backend.out", "backend": "primary"})
    workers_say(router, lambda told: told["backends"]["primary"]["out"] is True, 2)
    assert router.stop() == 0
