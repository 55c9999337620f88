"""Random bodies to an API while the backends break their answers off: what is common to the APIs.

A few hundred bodies by default; `FUZZ_BODIES=10000` sends so many, `FUZZ_SEED` chooses others.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from harness import all_free
from settings_for_tests import SHIPPED, backend_urls

from bench.router_process import RouterProcess, merged
from simulator.testing import Simulator, answer_numbers

Json = dict[str, Any]
Faults = dict[str, Any]  # by role
Send = Callable[[RouterProcess, Json | bytes], requests.Response]
BODIES = int(os.environ.get("FUZZ_BODIES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "18"))
AT_A_TIME = 4
TOKENS = 24  # of each answer; the first eight are its heading
WORDS = [*range(1, TOKENS - 7)]
ROLES = ("primary", "xai")
# Those that end an answer at once: nothing here waits for a timeout.
FAULTS = (
    *({"name": "cut", "after_chunks": n} for n in (0, 1, 5, 12)),
    {"name": "cut_clean", "after_chunks": 7},
    *({"name": "error_status", "status": status} for status in (500, 501, 502, 503)),
    *({"name": name} for name in (
        "reset", "truncated_json", "early_close_after_headers", "role_only_then_cut", "empty_200",
    )),
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**70, 1.5, "", "\x00", "\ud83d", "x" * 300, [], {}, [[]], [{}], {"": {}},
    json.loads("[" * 150 + "]" * 150), {"type": "text"}, {"type": "x"}, [{"type": "tool_use"}],
    {"type": "function_call"}, [{"type": "custom", "name": "x"}],
)  # fmt: skip


@contextmanager
def router_of(sim: Simulator, folder: Path, asked: Callable[[str], Json], send: Send
              ) -> Iterator[RouterProcess]:  # fmt: skip
    """A router whose routes have two backends each, and that never gives one up.

    Args:
        asked: a request for a model.
    """
    both = {"backends": ["primary", "xai"]}
    config = {
        "cascade": {"tiers": ["rules", "cache", "reasoning"]},
        "routes": {
            "primary": both, "meta": both, "enrich": both, "xai": {"backends": ["xai", "primary"]}
        },
    }  # fmt: skip
    with RouterProcess(
        folder, backends=backend_urls(sim), config=merged(SHIPPED, config)
    ) as router:
        for role in ROLES:
            send(router, asked(f"ai-router/{role}"))
        yield router


def ask(rng: random.Random, *, tools: bool) -> tuple[str, Faults]:
    """A user's text, and the faults that it causes."""
    faults = {role: rng.choice(FAULTS) for role in ROLES if rng.random() < 0.35}
    steered: dict[str, Any] = {role: {"tokens": TOKENS} for role in ROLES}
    for role, fault in faults.items():
        steered[role]["fault"] = fault
    steered["router"] = {"label": rng.choice(("SIMPLE", "MODERATE", "COMPLEX"))}
    if rng.random() < 0.1:
        steered["router"]["fault"] = rng.choice(FAULTS)
    said = "Use the tool: how is the weather?" if tools and rng.random() < 0.5 else "Say something"
    return f"{said} {rng.randrange(10**6)} [[sim {json.dumps(steered)}]]", faults


def damaged(rng: random.Random, body: Json) -> bytes:
    """A body with one thing wrong: a value, a field that is missing, or bytes."""
    body = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 2))):
        place: Any = body
        while True:
            keys = [*place] if isinstance(place, dict) else [*range(len(place))]
            key = rng.choice(keys)
            below = place[key]
            if not (isinstance(below, dict | list) and below) or rng.random() < 0.3:
                break
            place = below
        if rng.random() < 0.3 and isinstance(place, dict) and len(place) > 1:
            del place[key]
        else:
            place[key] = copy.deepcopy(rng.choice(ODD))  # may be damaged next
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        at = rng.randrange(len(raw))
        raw = raw[:at] + rng.randbytes(rng.randrange(3)) + raw[at + rng.randrange(9) :]
    return raw


def posted(
    router: RouterProcess, path: str, body: Json | bytes, **headers: str
) -> requests.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    with requests.Session() as http:
        http.trust_env = False
        return http.post(f"{router.url}{path}", data=raw, headers=headers, timeout=60)


def check_status(status: int, faults: Faults | None) -> str:
    """Check the status of an error; returns what the request was."""
    assert status < 500 or status in (502, 503, 504, 529)
    if status >= 500:
        assert faults is None or set(faults) == {*ROLES}, "a backend could have answered"
        return "failed"
    assert faults is None, "refused"
    return "refused"


def check_text(text: str, faults: Faults | None, *, broken: bool, whole: bool) -> str:
    """Check an answer's text; returns what the answer was.

    Args:
        broken: it ended with an error.
        whole: it ended by itself, with a text.
    """
    assert not broken or faults is None or set(faults) & {*ROLES}, "no backend failed"
    numbers = answer_numbers(text)
    assert numbers == [*range(1, len(numbers) + 1)], "text is lost or doubled"
    if faults is not None and not broken and whole:
        assert numbers == WORDS
    return "broken off" if broken else "whole"


def run(
    router: RouterProcess,
    send: Send,
    valid: Callable[[random.Random], tuple[Json, Faults]],
    check: Callable[[requests.Response, Faults | None], str],
) -> None:
    """Send the bodies, one in three of them damaged, and check what comes back.

    Args:
        valid: a request that every backend could answer, and the faults that it causes.
        check: an answer, by these faults (None: the body is invalid, so it may be refused).
    """

    def one(number: int) -> str:
        rng = random.Random(SEED * 1_000_003 + number)
        body, faults = valid(rng)
        raw = damaged(rng, body) if number % 3 == 2 else None
        answer = send(router, body if raw is None else raw)
        try:
            return check(answer, faults if raw is None else None)
        except Exception as error:
            sent = raw or json.dumps(body).encode()
            said = f"body {number} of seed {SEED}: {sent[:3000]!r} -> {answer.status_code} "
            raise AssertionError(f"{error!r}\n{said}{answer.content[:1500]!r}") from error

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = Counter(pool.map(one, range(BODIES)))
    print(f"{BODIES} bodies of seed {SEED}: {dict(found)}")
    all_free(router)
    assert router.metric("airouter_requests_total", outcome="router_error") == 0
    assert "Traceback" not in router.printed()
    assert min(found[kind] for kind in ("whole", "failed", "refused", "broken off")) > 0, found
