"""Tier 1: recognises prompts that frontends generate for themselves, such as titles and tags.

They are recognised by `metadata.task`, or by literal phrases of known frontends
(`config/meta_markers.yaml`). An instruction with a transcript that matches no phrase may be from a
frontend or a person: it stays local, uncut and without a search. Two kinds of prompts look similar
and are left to the other tiers: those of people who paste `### Task:`, and retrieval templates,
which contain the person's own question.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airouter.classify.machinery import asks_for_a_label
from airouter.classify.metadata_tasks import is_housekeeping
from airouter.domain.errors import ConfigError
from airouter.domain.types import Features, Verdict
from airouter.settings.load import ROOT

NAME = "rules"
PATH = ROOT / "config" / "meta_markers.yaml"
PLACES = ("ask", "end", "exact", "last", "turn", "system", "any")

# Characters that are examined at each end of a text, where instructions are.
_HEAD, _TAIL = 3000, 1500
# Maximum distances of an instruction's first phrase, in characters: from the start of a system
# message (agents put two lines before it), of another message, from the end of a message, and from
# the start where nothing may precede the phrase.
_NEAR, _AT, _AT_END, _BEGINS = 320, 60, 400, 2
# Characters at each end of a text in which first phrases are looked up: more than these maxima, for
# white space.
_WINDOW = 800
_PERSON = re.compile(r"[?:\"`“”„«»「『]")  # a question or quotation before the phrase: a person's
_LAST_CHARS = 900  # maximum length of an instruction as the last message
_RETRIEVAL_HEAD = 400  # characters at the start in which a retrieval template is recognised
_AFTER_TRANSCRIPT = 60  # characters; a longer text after a transcript is a person's question
_BESIDE = 400  # maximum characters of instruction beside a transcript
_HEADING = "### task:"
_OUTPUT = "#### output:"
_UNMARKED = "compaction"  # the task whose template does not mark the end of the chat
_OPEN, _CLOSE = "<chat_history>", "</chat_history>"
# The start of a turn in a transcript in lower case, by the user's or the assistant's name. What may
# precede a name is examined separately, which is ten times as quick.
_AFTER_NAME = r"\s*[\])>\"]?\s?[:：]"
_TURN = re.compile(
    r"(?:user|human|person|me|u|utente|usuario|usuário|utilisateur|nutzer|benutzer|пользователь|"
    r"用户|用戶|ユーザー|사용자|مستخدم|المستخدم|משתמש|kullanıcı|người dùng|pengguna|"
    r"uživatel|käyttäjä)" + _AFTER_NAME
)
_REPLY = re.compile(
    r"(?:assistant|ai|bot|a|model|assistente|asistente|assistent|ассистент|助手|アシスタント|도우미|"
    r"어시스턴트|مساعد|المساعد|עוזר|asistan|trợ lý|asisten|asistent|tekoäly)" + _AFTER_NAME
)
_SEPARATORS = frozenset(' \n\t\r-*[(<>•{"')
_COUNTED = re.compile(r"[\d≤<]|\b(?:one|two|three|four|five)\b")
_TRANSCRIPT_TAG = re.compile(
    r"<(?:chat_history|conversation(?:_history)?|messages|chat|chat_log|transcript|session|"
    r"dialogue?|history)>"
)
_TRANSCRIPT_END = re.compile(
    r"</(?:chat_history|conversation(?:_history)?|messages|chat|chat_log|transcript|session|"
    r"dialogue?|history)>"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """A known prompt of a frontend: the text that `where` names contains all `phrases`."""

    frontend: str
    version: str
    task: str
    where: str
    phrases: tuple[str, ...]
    begins: bool = False  # whether the prompt begins with the first phrase
    ends: bool = False  # whether it ends with the last phrase


@dataclass(frozen=True, slots=True)
class MetaMarkers:
    """The content of `config/meta_markers.yaml`, normalised for comparison."""

    markers: tuple[Marker, ...]
    retrieval: tuple[str, ...]
    products: tuple[str, ...]
    handovers: tuple[str, ...]
    closings: tuple[str, ...]
    headings: tuple[str, ...]
    chats: tuple[str, ...]
    # Positions in `markers`, by a word inside the first phrase, or by that phrase if it has none.
    # Looking up the words of a text is quicker than searching it for each of some 200 phrases.
    by_word: Mapping[str, tuple[int, ...]]
    by_phrase: Mapping[str, tuple[int, ...]]

    def templated(self, features: Features) -> bool:
        """Whether the ask has the structure of Open WebUI's templates, which may be reworded."""
        ask = features.ask
        if not (_alone(features) and ask[:20].lstrip().lower().startswith(_HEADING)):
            return False
        folded = fold(ends_of(ask))
        if self._retrieves(folded) or self._person_follows(folded):
            return False
        at = min((folded.find(chat) for chat in self.chats if chat in folded), default=-1)
        return at > 0 and any(heading in folded[:at] for heading in self.headings)

    def shaped(self, features: Features) -> bool:
        """Whether the ask is an instruction with a transcript, perhaps from an unlisted frontend.

        Either it contains the markup of a template (`<chat_history>`, `### Task:`, or a message
        that is all transcript after a system message), or the text beside the transcript names a
        typical product and its output format. If more text by a person follows, the person pasted
        the transcript.
        """
        ask = features.ask
        # The second check is a cheap one before the searches.
        if not _alone(features) or not any(mark in ask for mark in ":：<"):
            return False
        ask = ends_of(ask).lower()
        first, reply = _start_of(_TURN, ask), _start_of(_REPLY, ask)
        tag = _TRANSCRIPT_TAG.search(ask) if "<" in ask else None
        if tag and not _TRANSCRIPT_END.search(ask, tag.end()):
            tag = None  # mentioned only, without content
        if not (tag or (first >= 0 and reply >= 0)):
            return False
        starts = (first, reply, tag.start() if tag else -1)
        begins = min(start for start in starts if start >= 0)
        folded, before = fold(ask), fold(ask[:begins])
        if self._retrieves(folded):
            return False
        if _PERSON.search(before.partition(_HEADING)[0].rstrip(" :")):
            return False
        if not self._person_follows(folded):
            if features.system and tag and not before:
                return True
            if folded.startswith(_HEADING) or (tag and tag[0] == _OPEN):
                return bool(before)
        after = fold(_TRANSCRIPT_END.split(ask)[-1] if tag else ask[begins:].rpartition("\n")[2])
        if tag and len(after) > _AFTER_TRANSCRIPT:
            return False
        beside = f"{before} {after[-_BESIDE:]}"
        if len(beside) > 2 * _BESIDE or any(mark in beside for mark in self.retrieval):
            return False
        return _contains_word(self.products, beside) and bool(
            _COUNTED.search(beside) or _contains_word(self.handovers, beside)
        )

    def labels(self, features: Features) -> bool:
        """Whether a system message asks for a title and the like, and the ask is a transcript."""
        if not features.system or features.agent or not _alone(features):
            return False
        if not asks_for_a_label(features.system):
            return False
        ask = ends_of(features.ask).lower()
        first, reply = _start_of(_TURN, ask), _start_of(_REPLY, ask)
        return 0 <= min(first, reply) <= _AT

    def find(self, features: Features) -> Marker | None:
        """The matching marker; None for other prompts, even if they quote or resemble one."""
        raw = _texts(features)
        candidates = self._candidates(raw)
        if not candidates:  # nearly always
            return None
        folded = {text: fold(text) for text in set(raw.values())}
        texts = {place: folded[text] for place, text in raw.items()}
        ask = texts.get("ask", "")
        # Whether a person's words follow the template's chat, or documents precede it.
        personal = ask.startswith(_HEADING) and (self._retrieves(ask) or self._person_follows(ask))
        for marker in candidates:
            if personal and marker.phrases[0] == _HEADING and marker.task != _UNMARKED:
                continue
            places = ("ask", "turn", "system") if marker.where == "any" else (marker.where,)
            if any(_matches(marker, texts[place], place) for place in places if place in texts):
                return marker
        return None

    def _candidates(self, texts: dict[str, str]) -> list[Marker]:
        """The markers whose first phrase may occur where instructions are, in the file's order.

        Args:
            texts: by place, not normalised.
        """
        ends = {text[:_WINDOW] for text in texts.values()}
        if "end" in texts:
            ends.add(texts["end"][-_WINDOW:])
        searched = "\n".join(map(fold, ends))
        likely = self.by_word.keys() & set(searched.split())
        found = [i for word in likely for i in self.by_word[word]]
        found = [i for i in found if self.markers[i].phrases[0] in searched]
        for phrase, positions in self.by_phrase.items():
            if phrase in searched:
                found += positions
        return [self.markers[i] for i in sorted(found)]

    def _retrieves(self, ask: str) -> bool:
        """Whether this is a template for a question about documents, which begins similarly."""
        head = ask[:_RETRIEVAL_HEAD]
        for chat in self.chats:  # quotations in the chat do not count
            head = head.partition(chat)[0]
        return head.startswith(_HEADING) and any(mark in head for mark in self.retrieval)

    def _person_follows(self, ask: str) -> bool:
        """Whether text that is not part of a template follows its chat.

        Args:
            ask: normalised.
        """
        _, closed, rest = ask.rpartition(_CLOSE)
        rest = rest.strip()
        # The text to be completed may contain the closing tag itself.
        template = rest.startswith(self.closings) or rest.endswith(_OUTPUT)
        return bool(closed and rest and _OPEN in ask) and not template


def load_markers(path: Path = PATH) -> MetaMarkers:
    """Read and validate the markers.

    Raises:
        ConfigError: the file is missing or invalid; the message names the entry.
    """
    try:
        # libyaml's loader is several times as quick.
        data = yaml.load(path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigError(
            f"{path}: the file of markers cannot be read ({error.strerror})."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"{path}: this is not valid YAML.") from None
    if not isinstance(data, dict) or not isinstance(data.get("markers"), list):
        raise ConfigError(f"{path}: 'markers' must be a list of entries.")
    sections = (data.get(name) for name in ("shapes", "template", "sources"))
    shapes, template, sources = (s if isinstance(s, dict) else {} for s in sections)
    markers = tuple(_marker(path, i, entry, sources) for i, entry in enumerate(data["markers"]))
    by_word, by_phrase = _indexed(markers)
    return MetaMarkers(
        markers,
        retrieval=_phrases(data.get("retrieval")),
        products=_phrases(shapes.get("products")),
        handovers=_phrases(shapes.get("handovers")),
        closings=_phrases(data.get("closings")),
        headings=_phrases(template.get("headings")),
        chats=_phrases(template.get("chats")),
        by_word=by_word,
        by_phrase=by_phrase,
    )


def _indexed(
    markers: tuple[Marker, ...],
) -> tuple[Mapping[str, tuple[int, ...]], Mapping[str, tuple[int, ...]]]:
    """`by_word` and `by_phrase` of these markers."""
    by_word: defaultdict[str, list[int]] = defaultdict(list)
    by_phrase: defaultdict[str, list[int]] = defaultdict(list)
    for i, marker in enumerate(markers):
        first = marker.phrases[0]
        # The first and the last word may be parts of longer words in the text.
        word = max(first.split(" ")[1:-1], key=len, default="")
        (by_word[word] if word else by_phrase[first]).append(i)
    return (
        {word: tuple(positions) for word, positions in by_word.items()},
        {phrase: tuple(positions) for phrase, positions in by_phrase.items()},
    )


def _marker(path: Path, i: int, entry: Any, sources: dict[str, Any]) -> Marker:
    if not isinstance(entry, dict) or not {"frontend", "version", "task", "where", "all"} <= set(
        entry
    ):
        raise ConfigError(f"{path}: markers[{i}] needs frontend, version, task, where and all.")
    phrases = _phrases(entry["all"])
    if entry["where"] not in PLACES or not phrases:
        raise ConfigError(
            f"{path}: markers[{i}]: 'where' is one of {', '.join(PLACES)}, and 'all' is a list of "
            "phrases."
        )
    if entry.get("source") is not None and entry["source"] not in sources:
        raise ConfigError(f"{path}: markers[{i}]: 'source' is one of those under 'sources'.")
    return Marker(
        str(entry["frontend"]),
        str(entry["version"]),
        str(entry["task"]),
        entry["where"],
        phrases,
        entry.get("begins") is True,
        entry.get("ends") is True,
    )


def _phrases(values: Any) -> tuple[str, ...]:
    return tuple(fold(str(value)) for value in values) if isinstance(values, list) else ()


def fold(text: str) -> str:
    """The text in lower case with single spaces, for comparison."""
    return " ".join(text.lower().split())


def ends_of(text: str) -> str:
    """The head and tail of a long text; the middle is not examined."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"


def _alone(features: Features) -> bool:
    """Whether the request is a single user message, apart from system messages."""
    return features.n_user == 1 and not features.previous and features.last_role == "user"


def _start_of(turn: re.Pattern[str], text: str) -> int:
    """Where the first such turn starts; -1: nowhere.

    Args:
        text: in lower case.
    """
    starts = (found.start() for found in turn.finditer(text))
    return next((at for at in starts if at == 0 or text[at - 1] in _SEPARATORS), -1)


def _texts(features: Features) -> dict[str, str]:
    """The texts that may contain an instruction, by place."""
    texts: dict[str, str] = {}
    if _alone(features):
        texts["ask"] = texts["end"] = texts["exact"] = ends_of(features.ask)
    if features.n_messages > 1 and len(features.last_text) <= _LAST_CHARS:
        texts["last"] = features.last_text
    elif features.n_messages == 1 and len(features.ask) <= _LAST_CHARS:
        texts["last"] = features.ask
    if features.last_role != "assistant":
        texts["turn"] = ends_of(features.last_text)
    if features.system:
        texts["system"] = ends_of(features.system)
    return texts


def _matches(marker: Marker, text: str, place: str) -> bool:
    """Whether the text contains all phrases, the first one unquoted and where instructions are."""
    phrases = marker.phrases
    if place == "exact":
        return text == phrases[0]
    first = text.rfind(phrases[0]) if place == "end" else text.find(phrases[0])
    if first < 0 or not all(phrase in text for phrase in phrases):
        return False
    if marker.ends and not text.endswith(phrases[-1]):
        return False
    if place == "system":
        return first <= _NEAR
    if place == "end":
        return len(text) - first <= _AT_END and not _PERSON.match(text[:first].rstrip()[-1:])
    if _PERSON.search(text[:first]):
        return False
    return first <= (_BEGINS if marker.begins else _AT)


def _contains_word(words: tuple[str, ...], text: str) -> bool:
    """Whether the text contains one of the words; Latin ones must be whole words."""
    return any(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text) for word in words)


class RulesTier:
    """Decides META, or MODERATE for what may be META; otherwise abstains. Takes microseconds."""

    name = NAME
    instant = True

    def __init__(self, markers: MetaMarkers | None = None) -> None:
        """
        Args:
            markers: the phrases to look for; None: those of `config/meta_markers.yaml`.
        """
        self._markers = markers or load_markers()

    def vote(self, features: Features) -> Verdict:
        if features.task and is_housekeeping(features.task.lower()):
            return Verdict(NAME, "META", p=1.0, reason=f"metadata.task is {features.task[:40]!r}")
        marker = self._markers.find(features)
        if marker is not None:
            return Verdict(
                NAME, "META", p=1.0, reason=f"markers of {marker.frontend} ({marker.task})"
            )
        if self._markers.templated(features):
            return Verdict(NAME, "META", p=1.0, reason="structure of a frontend's prompt template")
        if self._markers.labels(features):
            return Verdict(NAME, "META", p=1.0, reason="structure of a prompt for a title or tags")
        if self._markers.shaped(features):
            return Verdict(NAME, "MODERATE", reason="an instruction with a transcript: stays local")
        return Verdict(NAME, None, reason="no rule matched")
