"""The thread beside the requests: promotions are noticed, the shadow is compared, live checks are
made while the classifier is idle, and a drifted model goes back into shadow."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from records import record
from router_weeks import World
from simulated import START, Ask, Teacher, week

from airouter.classify.tiers.tuned import TunedTier
from airouter.domain import redaction
from airouter.domain.errors import ConfigError
from airouter.domain.types import Features, Verdict
from airouter.learning.service import OBJECTIVE, Learning
from airouter.settings.schema import Settings


class Classifier:
    """The reasoning tier; `by_ask`: the labels that it knows."""

    name, instant = "reasoning", False

    def __init__(self) -> None:
        self.by_ask: dict[str, str] = {}
        self.finish = "label"
        self.asked = 0

    def ask(self, _exchange: Any, features: Features) -> Iterator[Any]:
        self.asked += 1
        return Verdict(self.name, self.by_ask[features.ask], finish_reason=self.finish)
        yield


class Rig:
    """A worker: its tiers, and the service. The model in shadow is promoted if asked for."""

    def __init__(self, world: World, **logging: Any) -> None:
        self.world, self.tier, self.classifier = world, world.tier(), Classifier()
        self.limiter = SimpleNamespace(in_use=0, waiting=0)
        breaker = SimpleNamespace(available=True)
        backend = SimpleNamespace(name="router", group=None, limiter=self.limiter, breaker=breaker)
        settings = Settings.model_validate(
            {
                "backends": {name: {"url": "http://127.0.0.1:9"} for name in ("router", "primary")},
                "routes": {"primary": {"backends": ["primary"]}},
                "logging": logging,
            }
        )
        cascade = SimpleNamespace(tiers=(self.tier, self.classifier))
        state = SimpleNamespace(
            settings=settings,
            backends={"router": backend},
            pipeline=SimpleNamespace(cascade=cascade),
        )
        self.fed: list[tuple[str, bool]] = []
        self.service = Learning(
            SimpleNamespace(state=state),  # type: ignore[arg-type]
            world.registry.folder,
            clock=world.clock,
            log=world.log,
            fed=lambda name, good: self.fed.append((name, good)),
        )

    def step(self, seconds: float = 1.0) -> None:
        self.world.clock.move(seconds)
        self.service.step(self.tier)

    def serve(self, ask: Ask, teacher: Teacher | None = None, **changes: Any) -> bool:
        """A request; whether the tuned model decided it, else the teacher did."""
        self.classifier.by_ask[ask.features.ask] = (teacher or Teacher()).label(ask)
        verdict = self.tier.vote(ask.features)
        label = verdict.label or self.classifier.by_ask[ask.features.ask]
        values: dict[str, Any] = {
            "client_messages": ask.messages,
            "label": label,
            "tier": "tuned" if verdict.label else "reasoning",
            "timestamp": START + timedelta(seconds=self.world.clock.elapsed),
        }
        self.service.emit(record(**(values | changes)))
        return verdict.label is not None


@pytest.fixture
def rig(learned_world: World) -> Iterator[Rig]:
    made = Rig(learned_world)
    yield made
    made.service.close()


def test_the_shadow_is_compared_and_decides_nothing(rig: Rig) -> None:
    shadow = str(rig.world.registry.state().shadow)
    for ask in week(2)[:150]:
        assert not rig.serve(ask)
    rig.serve(week(2)[0], requested_route="xai")
    rig.serve(week(2)[0], test="a test")
    rig.serve(week(2)[0], tier="rules")
    rig.step(61)
    found = rig.world.store.shadow(shadow)
    assert sum(found.values()) == 150
    assert found["reasoning", "agrees"] > 80
    assert found["reasoning", "agrees"] > 15 * found.get(("reasoning", "differs"), 0)
    assert rig.service.counts["shadow", "agrees"] == found["reasoning", "agrees"]
    assert rig.classifier.asked == 0
    rig.step(61)
    assert rig.world.store.shadow(shadow) == found, "counted once"


def test_a_promotion_is_noticed_and_its_decisions_are_checked(rig: Rig) -> None:
    name = rig.world.promote()
    assert rig.tier.service is None
    rig.step()
    assert rig.tier.service is not None
    before = rig.world.store.span()[0]
    served = sum(rig.serve(ask) for ask in week(2)[:300])
    assert served > 100
    for _ in range(40):
        rig.step()
    assert rig.classifier.asked == 16, "no more are kept than that"
    found = rig.world.store.agreement(name, 0)
    assert found.n == 16
    assert found.agreed >= 15
    assert rig.world.store.span()[0] == before + 16, "they are examples, too"


def test_checks_are_few(rig: Rig) -> None:
    """29 a day, however many requests there are, and at least 50 a week."""
    rig.world.promote()
    rig.step()
    for ask in week(2)[:600]:
        rig.serve(ask)
        rig.step(60)
    assert rig.classifier.asked == 29
    for _ in range(2):
        rig.step(86_400)
        for ask in week(2)[600:700]:
            rig.serve(ask)
            rig.step(60)
    assert rig.classifier.asked == 3 * 29


@pytest.mark.parametrize("busy", ["in_use", "waiting"])
def test_a_busy_classifier_is_not_asked(rig: Rig, busy: str) -> None:
    rig.world.promote()
    rig.step()
    for ask in week(2)[:50]:
        rig.serve(ask)
    setattr(rig.limiter, busy, 1)
    rig.step()
    assert rig.classifier.asked == 0
    setattr(rig.limiter, busy, 0)
    rig.step()
    assert rig.classifier.asked == 1


def test_an_unclear_answer_does_not_count(rig: Rig) -> None:
    name = rig.world.promote()
    rig.step()
    rig.classifier.finish = "length"
    for ask in week(2)[:50]:
        rig.serve(ask)
    for _ in range(5):
        rig.step()
    assert rig.classifier.asked == 5
    assert rig.world.store.agreement(name, 0).n == 0


def test_without_content_no_check_becomes_an_example(learned_world: World) -> None:
    rig = Rig(learned_world, content="off")
    name = rig.world.promote()
    rig.step()
    before = rig.world.store.span()[0]
    for ask in week(2)[:50]:
        rig.serve(ask)
    rig.step()
    assert rig.world.store.agreement(name, 0).n == 1
    assert rig.world.store.span()[0] == before
    rig.service.close()


def test_keys_are_masked_in_what_becomes_an_example(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._known)
    rig.world.promote()
    rig.step()
    ask = next(ask for ask in week(2) if rig.serve(ask))
    key = ask.features.ask[:12].strip()
    redaction.protect([key])
    rig.step()
    stored = [one.features.ask for one in rig.world.store.examples()]
    rest = ask.features.ask[12:]
    assert any(one.endswith(rest) and one.startswith("****") for one in stored)
    assert ask.features.ask not in stored


def days(rig: Rig, teacher: Teacher, number: int, count: int) -> None:
    """Requests over some days, enough of them for the checks of each."""
    for day in range(count):
        for ask in week(number)[day * 250 : (day + 1) * 250]:
            rig.serve(ask, teacher)
            rig.step(0.01)
        rig.step(86_400)


def test_a_faithful_model_stays(rig: Rig) -> None:
    name = rig.world.promote()
    rig.step()
    days(rig, Teacher(), 2, 4)
    assert rig.world.store.agreement(name, 0).n >= 50
    assert rig.world.registry.state().service == name
    assert all(good for _, good in rig.fed)


def test_a_drifted_model_goes_back_into_shadow(rig: Rig) -> None:
    """With an alert that lasts, and without a way back but a new training."""
    name = rig.world.promote()
    rig.step()
    days(rig, Teacher(drifted=True), 2, 4)
    state = rig.world.registry.state()
    assert (state.service, state.shadow, state.drifted) == (None, name, [name])
    assert not any(rig.serve(ask) for ask in week(3)[:100])
    assert f"The tuned model {name} is back in shadow" in "\n".join(rig.world.log.lines)
    assert rig.world.store.agreement(name, 0).n >= 50
    rig.fed.clear()
    rig.step(61)
    assert rig.fed == [(OBJECTIVE, False)]
    with pytest.raises(ConfigError, match="train a new one"):
        rig.world.promote(name)


def test_the_thread_notices_a_promotion(rig: Rig) -> None:
    rig.service.start()
    rig.world.promote()
    waited = threading.Event()
    for _ in range(100):
        if rig.tier.service is not None:
            break
        waited.wait(0.1)
    assert rig.tier.service is not None


def test_nothing_happens_without_the_tier(learned_world: World) -> None:
    rig = Rig(learned_world)
    rig.service._current.state.pipeline.cascade.tiers = (rig.classifier,)
    rig.service.emit(record(tier="reasoning"))
    assert not rig.service._waiting
    assert isinstance(rig.tier, TunedTier)
