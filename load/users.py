"""What Locust loads: the users (each takes its turns at a pace of its own whether or not the router
is quick, as people and cron jobs do), the shape where one was chosen, and the file that each
process writes its samples to."""

import random
import time
from collections.abc import Callable
from typing import Any, ClassVar

import gevent
import orjson
from locust import LoadTestShape, User, events, task

from bench import prompts
from bench.client import CHAT, EMBEDDINGS, Answer
from bench.prompts import body
from load.client import Client, Outcome, Sample, Writer, judged
from load.plan import PHASES_FILE, Setup, load_at

SETUP = Setup.from_environ()
_TURNS_KEPT = 6  # messages of a conversation that are sent again
_ABORTS, _PATIENCE_S = 0.02, 0.4

# What they ask: the requests of the benchmarks, each with a number of its own so that no cache has
# seen it.
_NUMBERS = 1_000_000
_TOPICS = (
    "the tram strike", "the harbour", "the flood", "the football club", "the mayor's election",
    "housing prices", "the new hospital", "the marathon", "the airport", "the power cut",
    "the bridge repairs", "the film festival", "the school closures", "bus fares",
)  # fmt: skip
_TOWNS = (
    "Leeds", "Bergen", "Porto", "Gdansk", "Trieste", "Utrecht", "Malmö", "Valencia", "Lyon",
    "Graz", "Cork", "Tampere", "Ostrava", "Bari", "Ghent", "Split", "Varna", "Cluj", "Debrecen",
    "Aarhus",
)  # fmt: skip


def number(chance: random.Random) -> int:
    return chance.randrange(100, _NUMBERS)


def moderate(chance: random.Random) -> str:
    """For the local primary: short and long questions."""
    return (prompts.short if chance.random() < 0.5 else prompts.long)(number(chance))


def news(chance: random.Random) -> str:
    return (
        f"What is the latest news today about {chance.choice(_TOPICS)} in {chance.choice(_TOWNS)}?"
    )


def mixed(chance: random.Random) -> tuple[str, str]:
    """A chat user's question and the route meant for it: 80 % MODERATE, else COMPLEX or ENRICH."""
    dice = chance.random()
    if dice < 0.8:
        return moderate(chance), "primary"
    if dice < 0.9:
        return prompts.complex_(number(chance)), "xai"
    return news(chance), "enrich"


def housekeeping(question: str, answer: str) -> list[str]:
    """What a frontend asks after each answer, in the shape of Open WebUI's: a title, tags,
    follow-up questions."""
    said = f"USER: {question}\nASSISTANT: {answer[:400]}"
    history = f"### Chat History:\n<chat_history>\n{said}\n</chat_history>"
    tasks = (
        "Generate a concise, 3-5 word title with an emoji summarizing the chat history.",
        "Generate 1-3 broad tags categorizing the main themes of the chat history, along with 1-3 "
        "more specific subtopic tags.",
        "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask "
        "next in this conversation.",
    )
    output = "### Output:\nJSON format, and nothing else."
    return [f"### Task:\n{task}\n\n{output}\n\n{history}" for task in tasks]


def documents(chance: random.Random, count: int = 8) -> list[str]:
    return [f"Section {number(chance)}. {prompts.long(number(chance))}" for _ in range(count)]


# Who they are -------------------------------------------------------------------------------------


class RouterUser(User):
    """A user with a connection, a pace and a name; a turn is one step of what it does."""

    abstract = True
    label: ClassVar[str]
    connections = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chance = random.Random()
        self.clients = [Client(SETUP.endpoint()) for _ in range(self.connections)]
        self._due = 0.0

    def on_start(self) -> None:
        # Spread over one period: the rate is right from the first second, and nobody marches in
        # step.
        gevent.sleep(self.chance.uniform(0, SETUP.period))
        self._due = time.monotonic()

    def on_stop(self) -> None:
        for client in self.clients:
            client.close()

    def wait_time(self) -> float:
        now = time.monotonic()
        self._due = max(self._due + SETUP.period * self.chance.uniform(0.5, 1.5), now)
        return self._due - now

    @task
    def go(self) -> None:  # the one task: Locust would add a subclass's to those that it inherits
        self.turn()

    turn: Callable[[], None]

    def ask(
        self,
        body: dict[str, Any],
        route: str,
        *,
        client: Client | None = None,
        path: str = CHAT,
        **options: Any,
    ) -> Answer:
        """One request, recorded; `route` is the one meant, which counts where the answer does not
        name one."""
        at = time.monotonic()
        answer = (client or self.clients[0]).request(body, path=path, **options)
        if path == CHAT:
            route = answer.headers.get("x-router-route", route)
        self._record(judged(answer, at, self.label, route))
        return answer

    def say(self, text: str, route: str, *, stream: bool = True, **options: Any) -> Answer:
        return self.ask(body(text, SETUP.virtual_model, stream=stream), route, **options)

    def _record(self, sample: Sample) -> None:
        said = f"{sample.outcome}: status {sample.status}" if sample.status else sample.problem[:80]
        bad = sample.outcome in (Outcome.FAILED, Outcome.REFUSED)
        # Locust knows one figure per request: these are rows of their own, each in the unit that
        # its type names.
        rows = {"total ms": sample.total, "TTFT ms": sample.ttft, "gap ms": sample.gap,
            "tokens/s": sample.rate}  # fmt: skip
        for kind, value in rows.items():
            if value is not None:
                whole = kind == "total ms"
                self.environment.events.request.fire(
                    request_type=kind,
                    response_time=value if kind == "tokens/s" else value * 1000,
                    exception=RuntimeError(said) if whole and bad else None,
                    context={"sample": sample} if whole else {},
                    name=f"{sample.user} → {sample.route}",
                    response_length=sample.tokens,
                )


class ChatUser(RouterUser):
    """Talks over several turns, and now and then closes the window in the middle of an answer."""

    weight = 10
    label = "chat"
    messages: tuple[dict[str, str], ...] = ()

    def turn(self) -> None:
        leaves = self.chance.randint(3, 12) if self.chance.random() < _ABORTS else None
        self.converse(*mixed(self.chance), leaves)

    def converse(self, question: str, route: str, abort_after: int | None = None) -> Answer:
        asked = [*self.messages, {"role": "user", "content": question}]
        body = {"model": SETUP.virtual_model, "messages": asked, "stream": True}
        answer = self.ask(body, route, abort_after=abort_after)
        if not answer.problem and not answer.aborted:
            said = {"role": "assistant", "content": answer.text}
            self.messages = (*asked, said)[-_TURNS_KEPT:]
        if self.chance.random() < 0.15:
            self.messages = ()  # another conversation
        return answer


class FrontendUser(ChatUser):
    """A chat whose frontend asks for a title, tags and follow-up questions after each answer, all
    at once."""

    weight = 4
    label = "frontend"
    connections = 4

    def turn(self) -> None:
        question = moderate(self.chance)
        answer = self.converse(question, "primary")
        if answer.problem:
            return
        tasks = zip(self.clients[1:], housekeeping(question, answer.text), strict=True)
        gevent.joinall(
            [
                gevent.spawn(self.say, text, "meta", stream=False, client=client)
                for client, text in tasks
            ]
        )


def _impatient(user: RouterUser) -> None:
    """Hangs up after a moment and asks the same again, twice at most."""
    question = moderate(user.chance)
    for _ in range(3):
        if not user.say(question, "primary", limit=_PATIENCE_S).late:
            break


_BATCH = {"X-Router-Priority": "batch"}
# The others: (label, weight, a turn). A slow reader takes its answer in small pieces with pauses,
# and how long that lasts is its own doing; a batch job gives way to those for whom a person waits.
_OTHERS: tuple[tuple[str, int, Callable[[RouterUser], Any]], ...] = (
    ("researcher", 2, lambda user: user.say(prompts.complex_(number(user.chance)), "xai")),
    ("news", 2, lambda user: user.say(news(user.chance), "enrich")),
    (
        "indexer", 3 if SETUP.embedding_model else 0,
        lambda user: user.ask(
            {"model": SETUP.embedding_model, "input": documents(user.chance)}, "embeddings",
            path=EMBEDDINGS,
        ),
    ),
    (
        "batch", 3,
        lambda user: user.say(moderate(user.chance), "primary", stream=False, headers=_BATCH),
    ),
    ("slow reader", 1, lambda user: user.say(moderate(user.chance), "primary", pause=0.03)),
    ("impatient", 1, _impatient),
)  # fmt: skip
USERS = (
    ChatUser,
    FrontendUser,
    *(
        type(f"{label.title().replace(' ', '')}User", (RouterUser,), {"label": label,
        "weight": weight, "turn": turn})
        for label, weight, turn in _OTHERS
    ),
)  # fmt: skip

globals().update({user.__name__: user for user in USERS})  # where Locust looks for them

if SETUP.phases:

    class PlannedShape(LoadTestShape):
        """So many users as the phase wants; the end of the last phase ends the run. When each phase
        begins is written down for the verdict."""

        _now: int | None = None
        _users = 0
        _rate = 10.0  # users that come or go per second

        def tick(self) -> tuple[int, float] | None:
            phases = list(SETUP.phases)
            found = load_at(phases, self.get_run_time())  # type: ignore[no-untyped-call]
            phase = found[0] if found else len(phases)
            if phase != self._now:
                self._now = phase
                with (SETUP.folder / PHASES_FILE).open("ab") as file:
                    file.write(orjson.dumps({"phase": phase, "at": time.monotonic()}) + b"\n")
            if found is None:
                return None
            users = max(1, round(found[1] * SETUP.users))
            if change := abs(users - self._users):
                # All of a change within a second, and not a new rate for every tick.
                self._rate = float(max(10, change))
            self._users = users
            return users, self._rate


_writer = Writer(SETUP.folder)


@events.request.add_listener  # type: ignore[untyped-decorator]
def _keep(context: dict[str, Any] | None = None, **_: Any) -> None:
    if context and "sample" in context:
        _writer.add(context["sample"])
