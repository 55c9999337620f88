"""The users. Each takes its turns at a pace of its own whether or not the router is quick, as people and cron jobs do."""

import random
import time
from typing import Any, ClassVar

import gevent
from locust import User, task

from bench.client import CHAT
from bench.prompts import complex_
from load import texts
from load.client import EMBEDDINGS, Answer, Client
from load.samples import Outcome, Sample
from load.setup import Setup

SETUP = Setup.from_environ()
_TURNS_KEPT = 6  # messages of a conversation that are sent again
_ABORTS = 0.02


class RouterUser(User):
    """A user with a connection, a pace and a name; a turn is one step of what it does."""

    abstract = True
    label: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chance = random.Random()
        self.endpoint = SETUP.endpoint()
        self.client = Client(self.endpoint)
        self._due = 0.0

    def on_start(self) -> None:
        # Spread over one period: the rate is right from the first second, and nobody marches in step.
        gevent.sleep(self.chance.uniform(0, SETUP.period))
        self._due = time.monotonic()

    def on_stop(self) -> None:
        self.client.close()

    def wait_time(self) -> float:
        now = time.monotonic()
        self._due = max(self._due + SETUP.period * self.chance.uniform(0.5, 1.5), now)
        return self._due - now

    @task
    def go(self) -> None:  # the one task: Locust would add a subclass's to those that it inherits
        self.turn()

    def turn(self) -> None:
        raise AssertionError("each kind of user says what it asks")

    def ask(
        self,
        body: dict[str, Any],
        route: str,
        *,
        client: Client | None = None,
        path: str = CHAT,
        **options: Any,
    ) -> Answer:
        """One request, recorded; `route` is the one meant, which counts where the answer does not name one."""
        at = time.monotonic()
        answer = (client or self.client).ask(body, path=path, **options)
        if path == CHAT:
            route = answer.headers.get("x-router-route", route)
        self._record(Sample(at, self.label, route, *_judged(answer)))
        return answer

    def say(self, text: str, route: str, **options: Any) -> Answer:
        """One question by itself, streamed."""
        return self.ask(
            texts.chat([{"role": "user", "content": text}], SETUP.virtual_model, stream=True),
            route,
            **options,
        )

    def _record(self, sample: Sample) -> None:
        fire = self.environment.events.request.fire
        bad = sample.outcome in (Outcome.FAILED, Outcome.REFUSED)
        error = (
            RuntimeError(
                f"{sample.outcome}: status {sample.status}"
                if sample.status
                else sample.problem[:80]
            )
            if bad
            else None
        )
        common: dict[str, Any] = {
            "name": f"{sample.user} → {sample.route}",
            "response_length": sample.tokens,
        }
        fire(
            request_type="total ms",
            response_time=sample.total * 1000,
            exception=error,
            context={"sample": sample},
            **common,
        )
        # Locust knows one figure per request: these are rows of their own, each in the unit that its type names.
        for kind, value in (("TTFT ms", sample.ttft), ("gap ms", sample.gap)):
            if value is not None:
                fire(
                    request_type=kind,
                    response_time=value * 1000,
                    exception=None,
                    context={},
                    **common,
                )
        if sample.rate is not None:
            fire(
                request_type="tokens/s",
                response_time=sample.rate,
                exception=None,
                context={},
                **common,
            )


def _judged(
    answer: Answer,
) -> tuple[Outcome, int, float, float | None, int, float | None, float | None, str]:
    if answer.aborted:
        outcome = Outcome.ABORTED
    elif answer.late:
        outcome = Outcome.GAVE_UP
    elif not answer.problem:
        outcome = Outcome.OK
    elif answer.status in (429, 503) and "retry-after" in answer.headers:
        outcome = Outcome.REFUSED
    else:
        outcome = Outcome.FAILED
    gap = answer.gap if answer.tokens > 2 else None
    return (
        outcome,
        answer.status,
        answer.seconds,
        answer.first,
        answer.tokens,
        answer.rate,
        gap,
        answer.problem,
    )


class ChatUser(RouterUser):
    """Talks over several turns, and now and then closes the window in the middle of an answer."""

    weight = 10
    label = "chat"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.messages: list[dict[str, str]] = []

    def turn(self) -> None:
        question, route = texts.mixed(self.chance)
        self.converse(
            question, route, self.chance.randint(3, 12) if self.chance.random() < _ABORTS else None
        )

    def converse(self, question: str, route: str, abort_after: int | None = None) -> Answer:
        asked = [*self.messages, {"role": "user", "content": question}]
        answer = self.ask(
            texts.chat(asked, SETUP.virtual_model, stream=True), route, abort_after=abort_after
        )
        if not answer.problem and not answer.aborted and not answer.late:
            self.messages = [*asked, {"role": "assistant", "content": answer.text}][-_TURNS_KEPT:]
        if self.chance.random() < 0.15:
            self.messages = []  # another conversation
        return answer


class FrontendUser(ChatUser):
    """A chat whose frontend asks for a title, tags and follow-up questions after each answer, all at once."""

    weight = 4
    label = "frontend"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.others = [Client(self.endpoint) for _ in range(3)]

    def on_stop(self) -> None:
        super().on_stop()
        for client in self.others:
            client.close()

    def turn(self) -> None:
        question = texts.moderate(self.chance)
        answer = self.converse(question, "primary")
        if answer.problem or answer.late:
            return
        tasks = zip(self.others, texts.housekeeping(question, answer.text), strict=True)
        gevent.joinall([gevent.spawn(self._housekeep, client, text) for client, text in tasks])

    def _housekeep(self, client: Client, text: str) -> None:
        self.ask(
            texts.chat([{"role": "user", "content": text}], SETUP.virtual_model),
            "meta",
            client=client,
        )


class Researcher(RouterUser):
    weight = 2
    label = "researcher"

    def turn(self) -> None:
        self.say(complex_(texts.number(self.chance)), "xai")


class NewsReader(RouterUser):
    weight = 2
    label = "news"

    def turn(self) -> None:
        self.say(texts.news(self.chance), "enrich")


class Indexer(RouterUser):
    """Fills an index: eight texts per request."""

    weight = 3 if SETUP.embedding_model else 0
    label = "indexer"

    def turn(self) -> None:
        body = {"model": SETUP.embedding_model, "input": texts.documents(self.chance)}
        self.ask(body, "embeddings", path=EMBEDDINGS)


class BatchJob(RouterUser):
    """Nobody waits for it: it gives way to those for whom somebody does."""

    weight = 3
    label = "batch"

    def turn(self) -> None:
        message = {"role": "user", "content": texts.moderate(self.chance)}
        self.ask(
            texts.chat([message], SETUP.virtual_model),
            "primary",
            headers={"X-Router-Priority": "batch"},
        )


class SlowReader(RouterUser):
    """Takes its answer in small pieces with pauses; how long that lasts is its own doing."""

    weight = 1
    label = "slow reader"

    def turn(self) -> None:
        self.say(texts.moderate(self.chance), "primary", pause=0.03)


class Impatient(RouterUser):
    """Hangs up after a moment and asks the same again, twice at most."""

    weight = 1
    label = "impatient"

    def turn(self) -> None:
        question = texts.moderate(self.chance)
        for _ in range(3):
            if not self.say(question, "primary", limit=SETUP.impatience).late:
                break


USERS = (ChatUser, FrontendUser, Researcher, NewsReader, Indexer, BatchJob, SlowReader, Impatient)
