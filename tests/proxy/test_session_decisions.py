"""The turns of a conversation over real sockets: they stay where it is, unless it is worth a
move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from harness import body, route_of, session_file, steer

from bench.router_process import RouterProcess
from simulator.testing import Simulator
from tests import claude_code

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TOOLS = [{"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}]
ERROR = "Error: src/main.c: No such file or directory"
HARD = steer("Prove that the construction is optimal in every case.", router={"label": "COMPLEX"})
PLAIN = steer("Write a friendly letter to the neighbours, please.", router={"label": "MODERATE"})
Json = dict[str, Any]


@pytest.fixture(scope="module")
def started(
    shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RouterProcess]:
    sim = shared_simulator
    config = {
        "backends": {
            "primary": {"vision": False},
            "eyes": {"kind": "vllm", "url": sim.url("embedding")},
        },
        "tasks": {"vision": [{"backends": ["eyes"]}]},
        "cascade": {"tiers": ["rules", "reasoning"]},
    }
    urls = {role: sim.url(role) for role in ("router", "primary", "xai")}
    folder = tmp_path_factory.mktemp("sessions")
    with RouterProcess(folder, backends=urls, config=config) as router:
        for task in ("general", "vision"):  # their models are learnt
            router.post("/v1/chat/completions", body("Hello"), headers={"X-Router-Task": task})
        yield router
    assert "Traceback" not in router.printed(), router.printed()


@pytest.fixture
def place(started: RouterProcess, sim: Simulator) -> RouterProcess:
    return started


class Talk:
    """A conversation with a router, which remembers what was said."""

    def __init__(self, router: RouterProcess, **headers: str) -> None:
        self.router = router
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.messages: list[Json] = []

    def say(self, content: Any, headers: Json | None = None, **fields: Any) -> requests.Response:
        self.messages.append({"role": "user", "content": content})
        return self.post(headers, **fields)

    def post(self, headers: Json | None = None, **fields: Any) -> requests.Response:
        payload = {"messages": self.messages, **fields}
        headers = {**self.headers, **(headers or {})}
        answer = self.router.post("/v1/chat/completions", payload, headers=headers)
        assert answer.status_code == 200, answer.text
        self.messages.append(answer.json()["choices"][0]["message"])
        return answer

    def calls(self, arguments: str, result: str) -> requests.Response:
        """Replace the latest answer by a tool call, and send its result."""
        known = f"call_{len(self.messages)}"
        call = {
            "id": known,
            "type": "function",
            "function": {"name": "run", "arguments": arguments},
        }
        self.messages[-1] = {"role": "assistant", "content": "", "tool_calls": [call]}
        self.messages.append({"role": "tool", "tool_call_id": known, "content": result})
        return self.post(tools=TOOLS)


def policy(answer: requests.Response) -> str:
    return str(answer.headers["X-Router-Session-Policy"])


def backend(answer: requests.Response) -> str:
    return str(answer.headers["X-Router-Backend"])


# "yes, do it" -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["yes, do it", "continue", "ja mach das", "好的"])
def test_a_word_of_assent_stays_with_a_complex_turn(
    place: RouterProcess, sim: Simulator, words: str
) -> None:
    """Nobody is asked for a decision."""
    talk = Talk(place)
    first = talk.say(f"{words}? {HARD}")
    assert (route_of(first), policy(first)) == ("xai", "new")
    before = [sim.stats(role)["started"] for role in ("router", "primary")]
    second = talk.say(words)
    assert (route_of(second), backend(second)) == ("xai", "xai")
    assert (second.headers["X-Router-Label"], policy(second)) == ("COMPLEX", "kept; inherited")
    assert second.headers["X-Router-Tier"] == "conversation"
    assert [sim.stats(role)["started"] for role in ("router", "primary")] == before


def test_it_stays_with_a_local_turn_as_well(place: RouterProcess) -> None:
    talk = Talk(place)
    assert route_of(talk.say(f"1 {PLAIN}")) == "primary"
    assert (route_of(again := talk.say("Yes, do it!")), policy(again)) == (
        "primary",
        "kept; inherited",
    )


def test_through_the_messages_api(place: RouterProcess) -> None:
    """Claude Code's session, recognised by its header though the first line of its system text
    changes; nothing of its harness is taken for the ask."""
    headers = {**claude_code.HEADERS, "X-Claude-Code-Session-Id": "b1946ac9-0000-4000-8000-01"}
    turn = claude_code.turn(HARD, stream=False)
    first = place.post("/v1/messages", turn, headers=headers)
    assert (route_of(first), policy(first)) == ("xai", "new")
    asked = [claude_code.text(claude_code.REMINDER), claude_code.text("yes, do it")]
    answer = {"role": "assistant", "content": first.json()["content"]}
    again = claude_code.turn(HARD, stream=False)
    again["messages"] += [answer, {"role": "user", "content": asked}]
    second = place.post("/v1/messages", again, headers=headers)
    assert (route_of(second), policy(second)) == ("xai", "kept; inherited")


# Sure enough, and worth it ------------------------------------------------------------------------


def test_a_sure_complex_turn_moves_the_conversation(place: RouterProcess) -> None:
    talk = Talk(place)
    assert route_of(talk.say(f"2 {PLAIN}")) == "primary"
    assert (route_of(up := talk.say(HARD)), policy(up)) == ("xai", "moved; sure COMPLEX")
    down = talk.say(PLAIN)
    assert route_of(down) == "primary"
    assert policy(down).startswith("moved; sure MODERATE, price 0.")


def test_a_long_conversation_stays(place: RouterProcess) -> None:
    """Reading it at the primary would take too long, so an easy turn stays in the cloud."""
    talk = Talk(place)
    talk.say(f"{'Long ago there was a theorem. ' * 3000} {HARD}")
    kept = talk.say(PLAIN)
    assert (route_of(kept), kept.headers["X-Router-Label"]) == ("xai", "MODERATE")
    assert policy(kept).startswith("kept; price 1")


def test_an_unavailable_classifier_moves_nothing(place: RouterProcess, sim: Simulator) -> None:
    """A guess is not sure: without a decision, the conversation stays where it is."""
    talk = Talk(place)
    talk.say(f"3 {HARD}")
    sim.fault("router", "error_status", status=500)
    kept = talk.say("Now write a friendly letter about it to all of the neighbours.")
    assert (route_of(kept), policy(kept)) == ("xai", "kept; unsure MODERATE")


def test_a_question_that_was_asked_before_begins_anew(place: RouterProcess) -> None:
    """Two people may begin with the same words."""
    talk, other = Talk(place), Talk(place)
    talk.say(f"4 {PLAIN}")
    talk.say(HARD)
    assert policy(other.say(f"4 {PLAIN}")) == "new"


def test_a_name_identifies_a_conversation_whose_history_was_cut(place: RouterProcess) -> None:
    talk = Talk(place, X_Session_Id="cut")
    talk.say(f"5 {HARD}")
    del talk.messages[0]
    assert policy(talk.say("yes, do it")) == "kept; inherited"
    stranger = Talk(place, X_Session_Id="another")
    stranger.messages = talk.messages[:1]
    assert policy(stranger.say("yes, do it")) == "new"


# Tool loops ---------------------------------------------------------------------------------------


def test_a_tool_loop_stays_where_it_began(place: RouterProcess) -> None:
    talk = Talk(place)
    talk.say(f"6 {HARD}", tools=TOOLS)
    for n in range(4):
        answer = talk.calls(str(n), f"fine {n}")
        assert (backend(answer), policy(answer)) == ("xai", "kept; tool loop")


def test_the_same_tool_error_three_times_escalates_once(place: RouterProcess) -> None:
    """And the conversation stays there, whatever comes."""
    talk = Talk(place)
    assert route_of(talk.say(f"7 {PLAIN}", tools=TOOLS)) == "primary"
    seen = [(backend(a), policy(a)) for a in (talk.calls(str(n), ERROR) for n in range(6))]
    assert seen == [
        ("primary", "kept; tool loop"),
        ("primary", "kept; tool loop"),
        ("xai", "escalated; same tool error 3 times"),
        ("xai", "kept; tool loop"),
        ("xai", "kept; tool loop"),
        ("xai", "kept; tool loop"),
    ]
    easy = talk.say(PLAIN, tools=TOOLS)
    assert (backend(easy), policy(easy)) == ("xai", "kept; escalated")


def test_the_same_tool_call_three_times_escalates(place: RouterProcess) -> None:
    talk = Talk(place)
    talk.say(f"8 {PLAIN}", tools=TOOLS)
    seen = [policy(talk.calls("{}", "nothing new")) for _ in range(3)]
    assert seen[-1] == "escalated; same tool call 3 times"


def test_a_forced_route_is_never_escalated(place: RouterProcess) -> None:
    """Neither where each request forces it, nor where the first did."""
    talk = Talk(place)
    local = {"X-Router-Route": "primary"}
    forced = talk.say(f"9 {HARD}", tools=TOOLS, headers=local)
    assert (route_of(forced), policy(forced)) == ("primary", "forced")
    assert {backend(talk.calls(str(n), ERROR)) for n in range(5)} == {"primary"}
    talk.messages.pop()
    assert policy(talk.post(tools=TOOLS, headers=local)) == "forced"


# Images, housekeeping, explanations ---------------------------------------------------------------


def test_an_image_earlier_in_the_session_stays_with_the_vision_backend(
    place: RouterProcess,
) -> None:
    """Also where the client no longer sends it."""
    talk = Talk(place, X_OpenWebUI_Chat_Id="pictures")
    text = {"type": "text", "text": PLAIN}
    assert backend(talk.say([text, IMAGE])) == "eyes"
    assert backend(talk.say(PLAIN)) == "eyes"
    talk.messages[0] = {"role": "user", "content": PLAIN}
    gone = talk.say(PLAIN)
    assert (backend(gone), policy(gone)) == ("eyes", "kept; images")


def test_an_image_in_the_middle_moves_to_the_vision_backend(place: RouterProcess) -> None:
    talk = Talk(place)
    assert backend(talk.say(f"10 {PLAIN}")) == "primary"
    seen = talk.say([{"type": "text", "text": PLAIN}, IMAGE])
    assert backend(seen) == "eyes"
    assert policy(seen).startswith("moved; ")
    assert backend(talk.say("yes, do it")) == "eyes"


def test_housekeeping_is_no_turn(place: RouterProcess) -> None:
    """Claude Code's call for a title, in the same session."""
    headers = {**claude_code.HEADERS, "X-Claude-Code-Session-Id": "b1946ac9-0000-4000-8000-02"}
    talk = Talk(place, X_Session_Id="b1946ac9-0000-4000-8000-02")
    talk.say(f"11 {HARD}")
    title = place.post("/v1/messages", {**claude_code.title(), "stream": False}, headers=headers)
    assert (route_of(title), policy(title)) == ("meta", "none; housekeeping")
    assert backend(talk.say("yes, do it")) == "xai"


def test_it_is_explained_and_recorded(place: RouterProcess) -> None:
    """/api/route says what would happen, and remembers nothing; a session file has the policy."""
    talk = Talk(place)
    first = talk.say(f"12 {HARD}")
    asked = {"messages": [*talk.messages, {"role": "user", "content": PLAIN}]}
    for _ in range(2):
        session = place.post("/api/route", asked).json()["session"]
        assert session["policy"].startswith("moved; sure MODERATE, price ")
        assert (session["route"], session["backend"], session["label"]) == ("xai", "xai", "COMPLEX")
        assert (session["escalated"], session["price_s"] > 0) == (False, True)
    document = session_file(place, first.headers["X-Router-Session"])
    assert (document["session_policy"], document["conversation"]) == ("new", session["id"])
