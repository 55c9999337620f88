"""Extracts the features of a request that the routing decision is based on.

Coding agents and some frontends send reminders, the state of an editor and the results of text
tools with the role `user`; routing by these would be routing by noise, so a person's own words are
separated from them first. The markers below were observed in 2026-11 in Claude Code 2.1, Codex
0.171, Cline 3, Roo Code 3 and Kilo Code, Aider 0.86, OpenCode 1, Cursor, Windsurf and Copilot Chat,
OpenHands, SWE-agent, and Gemini CLI.
"""

import re
from typing import Any

from airouter.classify.client_tools import tools_of
from airouter.dialects.openai_request import ChatRequest, text_of
from airouter.domain.types import Features

_SYSTEM_ROLES = ("system", "developer")
_IMAGE_PARTS = ("image_url", "input_image", "image")
_MAX_PREVIOUS = 8  # earlier turns
_FOLLOW_UP_CHARS = 60  # shorter requests after other turns are taken to depend on these


def features_of(request: ChatRequest) -> Features:
    """The features of a request. The cost grows with the number of messages and the length of the
    latest ones.

    The ask is the latest user message that a person wrote: text inserted by an agent's harness is
    removed, and messages that consist of nothing else are skipped. Files pasted into it are not
    the person's words either.
    """
    messages = request.messages
    total, images = 0, False
    texts: list[str] = []
    for message in messages:
        text = text_of(message)
        total += len(text)
        texts.append(text)
        content = message.get("content")
        if isinstance(content, list) and not images:
            images = any(part.get("type") in _IMAGE_PARTS for part in content)
    ask, previous, users, harness = _conversation(messages, texts)
    ask, pasted = without_pasted(ask)
    system = _leading_system(messages, texts)
    metadata = request.payload.get("metadata")
    task = metadata.get("task") if isinstance(metadata, dict) else None
    last_role, last_text = (messages[-1]["role"], texts[-1]) if texts else ("", "")
    if last_role == "user" and harness:
        last_text = human_text(messages[-1])[0] or last_text
    return Features(
        ask=ask,
        previous=previous,
        system=system,
        last_role=last_role,
        last_text=last_text,
        n_messages=len(texts),
        n_user=users,
        total_chars=total,
        has_tools=request.has_tools,
        has_images=images,
        task=task if isinstance(task, str) and task else None,
        tools=tools_of(request.payload) if request.has_tools else (),
        agent=harness or bool(system and is_agent(system)),
        pasted=pasted,
        schema=_schema_of(request.payload.get("response_format")),
    )


def is_follow_up(features: Features) -> bool:
    """Whether the request probably depends on earlier turns: it is short, and there are some."""
    return bool(features.previous) and len(features.ask) < _FOLLOW_UP_CHARS


def _conversation(
    messages: list[dict[str, Any]], texts: list[str]
) -> tuple[str, tuple[tuple[str, str], ...], int, bool]:
    """The ask, the turns before it, the number of user messages by a person, and whether a harness
    inserted text.

    Messages are read from the end; user messages before the kept turns are counted without being
    read.
    """
    ask: str | None = None
    previous: list[tuple[str, str]] = []
    users, harness, newest = 0, False, ""
    for message, text in zip(reversed(messages), reversed(texts), strict=True):
        role = message["role"]
        if role == "user":
            if len(previous) >= _MAX_PREVIOUS:
                users += 1
                continue
            own, cut = human_text(message)
            harness = harness or cut
            newest = newest or text
            if cut and not own.strip():
                continue
            users += 1
            if ask is None:
                ask = own
            else:
                previous.append(("user", own))
        elif role == "assistant" and ask is not None and len(previous) < _MAX_PREVIOUS:
            previous.append((role, text))
    if ask is None:  # all text is the harness's: better than none
        return newest, (), int(bool(newest)), harness
    return ask, tuple(reversed(previous)), users, harness


def _schema_of(form: Any) -> tuple[str, ...]:
    """The names of the fields that an answer in JSON has to have, by its schema."""
    for name in ("json_schema", "schema", "properties"):
        form = form.get(name) if isinstance(form, dict) else None
    return tuple(map(str, form)) if isinstance(form, dict) else ()


def _leading_system(messages: list[dict[str, Any]], texts: list[str]) -> str:
    """The system messages before the first turn; later ones do not instruct the conversation."""
    leading = []
    for message, text in zip(messages, texts, strict=True):
        if message["role"] not in _SYSTEM_ROLES:
            break
        leading.append(text)
    return "\n".join(filter(None, leading))


# Blocks that are never by a person. Tags that a person's own XML may well contain (<file>, <rules>,
# <context>) are not listed.
_BLOCKS = (
    # Claude Code, OpenCode, Crush
    "system-reminder", "system_reminder", "command-name", "command-message", "local-command-stdout",
    "local-command-stderr", "local-command-caveat", "bash-stdout", "bash-stderr",
    "user-prompt-submit-hook", "session-start-hook", "task-notification", "new-diagnostics",
    "ide_selection", "ide_opened_file", "ide_diagnostics",
    # Codex
    "environment_context", "user_instructions", "INSTRUCTIONS", "permissions instructions",
    "turn_aborted", "user_shell_command", "subagent_notification", "recommended_plugins",
    "collaboration_mode", "apps_instructions", "skills_instructions", "plugins_instructions",
    "model_switch", "personality_spec", "user_action",
    # Cline, Roo Code, Kilo Code
    "environment_details", "explicit_instructions",
    # Cursor, Windsurf, Copilot Chat
    "additional_data", "open_and_recently_viewed_files", "user_info", "git_status",
    "project_layout", "ADDITIONAL_METADATA", "editorContext", "reminderInstructions",
    "environment_info", "workspace_info", "conversation-summary",
    # OpenHands
    "RUNTIME_INFORMATION", "REPOSITORY_INFO", "ENVIRONMENT_INFO",
    # Results of text tools
    "tool_result", "tool_results", "tool_response", "tool_output", "tool_use_result",
    "function_result", "function_results", "function_response", "execution_result",
)  # fmt: skip
# Blocks that contain a person's words.
_PERSON_BLOCKS = (
    "task", "feedback", "answer", "user_message", "user_query", "userRequest", "USER_REQUEST",
    "command-args", "bash-input",
)  # fmt: skip
# Blocks that editors and frontends make of files that a person attaches; of those that a person may
# have written, only with an attribute that names the file.
_PASTED = (
    "attached_files", "attached_file", "attached-files", "file_content", "file_contents",
    "folder_content", "url_content", "uploaded_files", "pasted_content", "attachments",
)  # fmt: skip
_PASTED_NAMED = ("file", "files", "attachment")
# Beginnings of texts that are the harness's as a whole, except for the blocks above.
_WHOLE = (
    "This session is being continued from a previous conversation",
    "This session is being continued from another machine",
    "Caveat: The messages below were generated by the user while running local commands",
    "[Request interrupted by user",
    "Base directory for this skill:",
    "Another language model started to solve this problem",
    "# AGENTS.md instructions",
    "[TASK RESUMPTION]",
    "[ERROR] You did not use a tool",
    "I have *added these files to the chat*",
    "Here are summaries of some files present in my git repository",
    "Here are some READ ONLY files",
    "The following tool was executed by the user",
    "Summarize the task tool output above and continue",
    "Continue if you have next steps",
    "This is the Gemini CLI. We are setting up the context",
    "EXECUTION RESULT of [",
    "OBSERVATION:\n",
    "<returncode>",
)
# An OpenCode part that reports a tool call; the next part is its result.
_CALLED = re.compile(r"Called the [\w-]{1,40} tool with the following input")
# The line before a result in Cline and its forks: [read_file for 'utils.py'] Result:
_RESULT = re.compile(r"(?s)\[[a-z][a-z_]{1,40}(?: for '.{0,2000}?')?[^\]\n]{0,80}\]\s{0,2}Result:")
# The heading of Aider's reminder of its format, which extends to the end of the text.
_REMINDER = re.compile(r"(?m)^# (?:\*SEARCH/REPLACE block\* Rules:|File editing rules:)")
_IDE, _IDE_ASK = "# Context from my IDE setup", "## My request for Codex:"
_RETRIEVAL = ("<context>", "<source")  # templates with documents for a question

_NAMES = "|".join(map(re.escape, sorted(_BLOCKS, key=len, reverse=True)))
_OPENING = re.compile(rf"<({_NAMES})(?:\s[^<>\n]{{0,300}})?>")
_FILE = re.compile(
    rf"<({'|'.join(_PASTED)})(?:\s[^<>\n]{{0,300}})?>"
    rf"|<({'|'.join(_PASTED_NAMED)})\s+(?:path|name|file_?name|file_?path|url|uri|id|type)="
    r"[^<>\n]{0,300}>"
)
_QUOTES = frozenset("`\"'“„«(")
_RESULT_PARTS = ("tool_result", "tool-result", "function_call_output")

# Phrases near the beginning of agents' system messages.
_AGENTS = re.compile(
    r"(?i)\byou are (?:claude code|a claude agent|an agent for claude code|codex|cline\b|roo\b|"
    r"kilo code|opencode|crush\b|goose|openhands|amp\b|gemini cli|qwen code|pair programming|"
    r"an ai programming assistant|a coding agent|an? (?:powerful |expert |autonomous )?(?:agentic|"
    r"ai coding|coding assistant|cli agent|interactive (?:cli|agent))|an interactive (?:cli|agent)|"
    r"a helpful assistant that can interact (?:with a computer|multiple times))"
    r"|act as an expert (?:software developer|code analyst)|official cli for claude"
    r"|coding agent running in"
)
_AGENTS_HEAD = 1500  # characters of a system message that are searched
_AGENTS_CHARS = 4000  # longer system messages are taken for an agent's
_MAX_CHARS = 4_000_000  # longer texts exceed every context window and are not searched for blocks


def human_text(message: dict[str, Any]) -> tuple[str, bool]:
    """The text of a user message without what a harness inserted, and whether it inserted anything.

    The text is unchanged if nothing was removed, and empty if all of it was the harness's.
    """
    content = message.get("content")
    if isinstance(content, str):
        return _human_of(content, False)[:2]
    if not isinstance(content, list):
        return "", False
    kept, cut, result, called = [], False, False, False
    for part in content:
        if part.get("type") in _RESULT_PARTS:
            cut = True
            continue
        text = part.get("text")
        if part.get("type") != "text" or not isinstance(text, str):
            continue
        if called or _CALLED.match(text):
            called, cut = not called, True
            continue
        own, harness, result = _human_of(text, result)
        cut = cut or harness
        if own or not harness:
            kept.append(own)
    return "\n".join(kept), cut


def is_agent(system: str) -> bool:
    """Whether a system message instructs an agent, as opposed to a chat's persona."""
    return len(system) > _AGENTS_CHARS or bool(_AGENTS.search(system, 0, _AGENTS_HEAD))


def _human_of(text: str, result: bool) -> tuple[str, bool, bool]:
    """The person's words, whether anything was removed, and whether the next part is a tool result.

    Args:
        result: whether this part continues the tool result in the part before it.
    """
    own = _without_blocks(text) if len(text) <= _MAX_CHARS and "<" in text else text
    begins = own.lstrip()
    if result or _RESULT.match(begins):
        return _person_words(own), True, True
    if begins.startswith(_WHOLE):
        return _person_words(own), True, False
    if begins.startswith(_IDE) and _IDE_ASK in own:
        return own.rpartition(_IDE_ASK)[2].strip(), True, False
    reminder = _REMINDER.search(own) if "\n# " in own else None
    if reminder is not None:
        own = own[: reminder.start()].rstrip()
    if begins.startswith("<") and not any(mark in own for mark in _RETRIEVAL):
        for name in _PERSON_BLOCKS:
            if begins.startswith(f"<{name}>") and f"</{name}>" in begins:
                said, _, after = begins[len(name) + 2 :].partition(f"</{name}>")
                return "\n".join(filter(None, (said.strip(), after.strip()))), True, False
    if own == text:
        return text, False, False
    return own.strip(), True, False


def without_pasted(text: str) -> tuple[str, str]:
    """A person's text without the files pasted into it, and these. Unchanged if there are none, or
    nothing else."""
    if "<" not in text or len(text) > _MAX_CHARS:
        return text, ""
    cut: list[str] = []
    own = _without_blocks(text, _FILE, cut).strip()
    return (own, "\n".join(cut)) if cut and own else (text, "")


def _without_blocks(
    text: str, opening: re.Pattern[str] = _OPENING, cut: list[str] | None = None
) -> str:
    """The text without harness blocks. Unclosed tags are kept: a person may have mentioned them.

    Args:
        opening: matches the opening tags; its group is the name.
        cut: receives the blocks.
    """
    kept: list[str] = []
    at, unclosed = 0, set[str]()
    for found in opening.finditer(text):
        name = found[found.lastindex or 1]
        if (
            found.start() < at
            or name in unclosed
            or not _at_block_position(text, found.start(), at)
        ):
            continue
        end = _end_of(text, name, found.end())
        if end < 0:
            unclosed.add(name)
            continue
        kept.append(text[at : found.start()])
        if cut is not None:
            cut.append(text[found.start() : end])
        at = end
    return "".join((*kept, text[at:])) if at else text


def _at_block_position(text: str, start: int, after: int) -> bool:
    """Whether a tag is where a program puts one: at the start of a line, or right after a word.

    A person who mentions a tag in a sentence puts a space or a quotation mark before it.

    Args:
        after: the end of the previous block.
    """
    before = text[max(after, start - 40) : start]
    line = before.rpartition("\n")[2]
    if not line.strip(" \t"):
        return True
    return not line[-1].isspace() and line[-1] not in _QUOTES


def _end_of(text: str, name: str, start: int) -> int:
    """The end of the block that was opened before `start`; -1 if it is not closed.

    Blocks may be nested. If the nesting is not balanced, because a tag is quoted inside, the block
    ends with the last closing tag.
    """
    depth, last = 1, -1
    name = name.split(" ")[0] if f"</{name}>" not in text else name
    marks = re.compile(rf"<(/?){re.escape(name)}(?:\s[^<>\n]{{0,300}})?>")
    for mark in marks.finditer(text, start):
        if mark[1]:
            depth, last = depth - 1, mark.end()
            if depth == 0:
                return last
        else:
            depth += 1
    return last


def _person_words(text: str) -> str:
    """The person's words inside a harness's text."""
    said = []
    for name in _PERSON_BLOCKS:
        opening, closing = f"<{name}>", f"</{name}>"
        start = text.find(opening)
        while start >= 0:
            end = text.find(closing, start)
            if end < 0:
                break
            said.append(text[start + len(opening) : end].strip())
            start = text.find(opening, end)
    return "\n".join(filter(None, said))
