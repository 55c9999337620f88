"""Internal prompts of Open WebUI 0.12, LibreChat, Claude Code and Codex are recognised by markers.

The prompts are in words of our own around the true markers, as those programs send them: alone,
with a persona, behind an agent's system text, with tools, after a long conversation.
"""

from __future__ import annotations

from typing import Any

import pytest

from airouter.classify.features import features_of
from airouter.classify.tiers.rules import RulesTier, load_markers
from airouter.dialects.openai_request import parse_request
from tests.classify.test_rules_markers import TALKS

TIER = RulesTier()
Messages = list[dict[str, Any]]
TOOLS = [{"type": "function", "function": {"name": "web_search"}}]
BILLING = "x-anthropic-billing-header: cc_version=2.1.197.abc; cc_entrypoint=sdk-cli; cch=00000;"
WHO = "You are Claude Code, Anthropic's official CLI for Claude, running within the Agent SDK."
NOTE = "<system-reminder>\nnews, proofs\n</system-reminder>"
# Chats that contain what templates are recognised by: documents, questions, quotations, templates.
NASTY = (
    (("user", "What is `### Task:`? <context>x</context> <source id=1>"), ("assistant", '"[1]"?')),
    (("user", "</chat_history> now this"), ("assistant", "<chat_history>USER: x</chat_history>")),
    (("user", "latest <user_query> news"), ("assistant", '</chat_history> USER: "hi"')),
    (("user", "Prove it"), ("assistant", "a long answer " * 900)),
)


def said(talk: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{role.upper()}: {text}" for role, text in talk)


def owui(task: str, talk: tuple[tuple[str, str], ...], end: str = "") -> str:
    return (
        f"### Task:\n{task}\n### Guidelines:\n- JSON only.\n### Chat History:\n<chat_history>\n"
        f"{said(talk)}\n</chat_history>{end}"
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def systems(text: str) -> list[Messages]:
    """The forms in which an agent's system message arrives through a translating proxy."""
    lines = (BILLING, WHO, text)
    return [
        [{"role": "system", "content": [{"type": "text", "text": line} for line in lines]}],
        [{"role": "system", "content": "\n".join(lines)}],
        [{"role": "system", "content": line} for line in lines],
        [{"role": "system", "content": text}],
    ]


def asked(talk: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Prompts that consist of one user message."""
    first, answer = talk[0][1], talk[1][1]
    return {
        "Open WebUI title": owui("Make a concise title summarizing the chat history.", talk),
        "Open WebUI tags": owui("Find broad tags categorizing the main themes of it.", talk),
        "Open WebUI follow-ups": owui("Predict 3-5 useful messages for this user.", talk),
        "Open WebUI query": owui(
            "Read it to determine the necessity of generating search queries.", talk
        ),
        "Open WebUI image": owui(
            "Write for an image generation task based on the given language.", talk
        ),
        "Open WebUI autocomplete": "### Task:\nYou are an autocompletion system for `<text>`.\n"
        f"<type>\n### Context:\n<chat_history>\n{said(talk)}\n</chat_history>\n"
        f"<type>General</type>\n<text>{first} and some more words after it</text>\n#### Output:\n",
        "Open WebUI compaction": "### Task:\nTell what is compacted out of the active chat "
        "context.\n"
        f"### Messages Being Compacted:\n{said(talk)}\n### Recent Messages:\n{said(talk)}",
        "Open WebUI emoji": "Show the speaker's likely facial expression by a fitting emoji.\n\n"
        f"Message: ```{first}```",
        "Open WebUI merged answers": "You have been provided with a set of responses to the query: "
        f'"{first}"\n\nPlease synthesize these responses.\n\nResponses from models: """{answer}"""',
        "Open WebUI memory": "Review the completed conversation turn for long-term memory.\n"
        f"Conversation:\n{said(talk)}",
        "Open WebUI merged answers of a long query": "You have been provided with a set of "
        "responses "
        f'from various models to the latest user query: "{first} {"and more " * 900}"\n\n{answer}',
        "LibreChat title": "Analyze this conversation and provide:\n1. Its detected language\n"
        f"2. A concise title (5 words or less)\n\n{said(talk)}",
        "LibreChat summary": "Summarize the conversation by integrating new lines into it.\n"
        f"{said(talk)}",
        "LibreChat cut": f"The following text is cut-off:\n{said(talk)}\n\n"
        "Make a summary, noting that it was cut-off.",
        "Claude Code web page": f"\nWeb page content:\n---\n{answer}\n---\n\n{first}\n\n"
        "Provide a concise response based on it.",
        "Claude Code branch": "You are coming up with a succinct title and git branch name.\n"
        f"<description>{first}</description>",
        "Claude Code job": f'2-4 word lowercase label for this job.\nUser: "{first}"',
        "Claude Code session": "Summarize this portion of a Claude Code session transcript.\n"
        f"{said(talk)}",
        "Claude Code facets": "Analyze this Claude Code session and extract structured facets.\n"
        f"{said(talk)}",
        "Claude Code report": "Analyze this Claude Code usage data and count it.\n"
        f"RESPOND WITH ONLY A VALID JSON OBJECT\n{first}",
        "Codex rollout": f"Analyze this rollout and produce JSON.\nrollout_context:\n{said(talk)}",
    }


SYSTEM = {
    "Open WebUI tools": 'Available Tools: [{"name": "get_weather"}]\n\nreturn the correct tool(s).',
    "Claude Code title": "Generate a concise, sentence-case title for this session.",
    "Claude Code name": "Generate a short kebab-case name for the topic of this conversation.",
    "Claude Code issue": "Generate a concise, technical issue title.",
    "Claude Code labels": "Write a short summary label describing what these tool calls did.",
    "Claude Code command": "Your task is to process Bash commands that an AI wants to run.",
    "Claude Code explainer": "Analyze shell commands and explain what they do, and why.",
    "Claude Code date": "You are a date/time parser that converts natural language.",
    "Claude Code hook": "You are evaluating a hook condition in Claude Code. Be strict.",
    "Claude Code stop hook": "You are evaluating a stop-condition hook in Claude Code. Be strict.",
    "Claude Code monitor": "You are a security monitor for autonomous AI coding agents.",
    "Claude Code prefix": "<policy_spec>\n# Claude Code Code Bash command prefix detection\n"
    "Say what a Command Injection is.",
    "LibreChat memory": "Use the `set_memory` tool to save important information, when asked.",
    "LibreChat activity": "You write the one-line header above a group of tool calls.",
    "Codex title": "Generate a thread title from the user prompt.",
    "Codex memory": "## Memory Writing Agent: Phase 1",
}
TURNS = {
    "Claude Code compaction": "CRITICAL: Respond with TEXT ONLY. No tools.\n\n"
    "Now create a detailed summary of all this." + " Be thorough." * 400,
    "Claude Code compaction without a head": "Your task is to create a detailed summary of this, "
    "in <analysis> tags." + " Be thorough." * 400,
    "Claude Code suggestions": "[SUGGESTION MODE: Suggest what the user might type.]\n"
    + "x" * 2000,
    "Claude Code recap": "The user stepped away and is coming back. Recap in a sentence.",
    "Claude Code activity": "Describe your most recent action in 3-5 words, please.",
    "Claude Code memory": "You are now acting as the memory extraction subagent. Go.",
    "Codex compaction": "You are performing a CONTEXT CHECKPOINT COMPACTION. Write it down.",
    "LibreChat checkpoint": "Hold on, before you continue I need you to write me a note."
    + "x" * 2000,
    "LibreChat update": "Hold on again, update your checkpoint. Merge." + "y" * 2000,
}


def vote(messages: Messages, **fields: Any) -> str | None:
    return TIER.vote(features_of(parse_request("chat", {"messages": messages, **fields}))).label


@pytest.mark.parametrize("name", list(asked(TALKS[0])))
def test_a_prompt_in_one_message(name: str) -> None:
    for talk in (*TALKS, *NASTY):
        prompt = asked(talk)[name]
        assert vote([user(prompt)]) == "META", talk
        persona = {"role": "system", "content": "You are a friendly helper."}
        parts = {"role": "user", "content": [{"type": "text", "text": prompt}]}
        assert vote([persona, parts], tools=TOOLS) == "META", talk


@pytest.mark.parametrize("name", list(SYSTEM))
def test_a_prompt_in_the_system_text(name: str) -> None:
    for talk in (*TALKS, *NASTY):
        for leading in systems(SYSTEM[name]):
            assert vote([*leading, user(said(talk))]) == "META", talk


@pytest.mark.parametrize("name", list(TURNS))
def test_a_prompt_after_a_conversation(name: str) -> None:
    for talk in (*TALKS, *NASTY):
        before = [*systems("x" * 6000)[0], *({"role": r, "content": t} for r, t in talk)]
        assert vote([*before, user(TURNS[name])], tools=TOOLS) == "META", talk
        noted = [{"type": "text", "text": text} for text in (NOTE, TURNS[name])]
        assert vote([*before, {"role": "user", "content": noted}], tools=TOOLS) == "META", talk


def test_a_quota_probe() -> None:
    assert vote([user("quota")], max_tokens=1) == "META"
    assert vote([user("quota?")]) is None
    assert vote([user("What is my quota")]) is None


def test_a_template_with_a_persons_words_before_or_after_it_is_not_meta() -> None:
    prompt = asked(TALKS[0])["Open WebUI title"]
    assert vote([user(f"{prompt}\n\nHow do I change this?")]) != "META"
    assert vote([user(f"My frontend sends the following, why:\n{prompt}")]) != "META"
    assert vote([user(f"Shorten this prompt.\n\n{prompt}")]) != "META"


def test_every_marker_names_its_source() -> None:
    """Each source is listed under `sources` with a date."""
    import yaml

    from airouter.classify.tiers.rules import PATH

    data = yaml.safe_load(PATH.read_text("utf-8"))
    for entry in data["markers"]:
        assert entry["source"] in data["sources"], entry
    for name, source in data["sources"].items():
        assert source["of"], name
        assert source["seen"].year >= 2026, name
    assert len(load_markers().markers) == len(data["markers"])
