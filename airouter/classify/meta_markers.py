"""The housekeeping prompts of frontends, known by literal phrases (`config/meta_markers.yaml`)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airouter.domain.errors import ConfigError
from airouter.domain.types import Features
from airouter.settings.load import ROOT

PATH = ROOT / "config" / "meta_markers.yaml"
PLACES = ("ask", "end", "exact", "last", "turn", "system", "any")

_SPACE = re.compile(r"\s+")
# Characters that are looked at; an instruction stands at either end.
_HEAD, _TAIL = 3000, 1500
# Characters within which the first phrase of an instruction stands: of a system text (an agent puts
# two lines before it), of a message, at the end of a message, and where nothing may precede it.
_NEAR, _AT, _AT_END, _BEGINS = 320, 60, 400, 2
_BEFORE_NONE = re.compile(r"[?:\"`“”„«»「『]")  # a question or a quotation: a person's words
_LAST_CHARS = 900  # an instruction as the last message is no longer than this
_RETRIEVAL_IN = 400  # characters at the beginning that tell a retrieval template
# Characters that may follow a transcript; more is a person's own question about it.
_AFTER_TRANSCRIPT = 60
_BESIDE = 400  # characters of instruction beside a transcript
_HEADING = "### task:"
_OUTPUT = "#### output:"
_UNMARKED = "compaction"  # the task whose template does not mark where its chat ends
_OPEN, _CLOSE = "<chat_history>", "</chat_history>"
_TURN = re.compile(
    r"(?im)(?:^|[\s\-*\[(<>•{\"])(?:user|human|person|me|u|utente|usuario|usuário|utilisateur|nutzer|benutzer|пользователь|用户|用戶|ユーザー|사용자|"
    r"مستخدم|المستخدم|משתמש|kullanıcı|người dùng|pengguna|uživatel|käyttäjä)\s*[\])>\"]?\s?[:：]"
)
_REPLY = re.compile(
    r"(?im)(?:^|[\s\-*\[(<>•{\"])(?:assistant|ai|bot|a|model|assistente|asistente|assistent|ассистент|助手|アシスタント|도우미|어시스턴트|"
    r"مساعد|المساعد|עוזר|asistan|trợ lý|asisten|asistent|tekoäly)\s*[\])>\"]?\s?[:：]"
)
_COUNTED = re.compile(r"[\d≤<]|\b(?:one|two|three|four|five)\b")
_TRANSCRIPT_TAG = re.compile(
    r"(?i)<(?:chat_history|conversation(?:_history)?|messages|chat|chat_log|transcript|session|"
    r"dialogue?|history)>"
)
_TRANSCRIPT_END = re.compile(
    r"(?i)</(?:chat_history|conversation(?:_history)?|messages|chat|chat_log|transcript|session|"
    r"dialogue?|history)>"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """One way a frontend asks: all `phrases` (folded) stand in the text that `where` names."""

    frontend: str
    version: str
    task: str
    where: str
    phrases: tuple[str, ...]
    begins: bool = False  # the first phrase is how the prompt begins


@dataclass(frozen=True, slots=True)
class MetaMarkers:
    """What `config/meta_markers.yaml` says, folded for comparing."""

    markers: tuple[Marker, ...]
    retrieval: tuple[str, ...]
    products: tuple[str, ...]
    handovers: tuple[str, ...]
    closings: tuple[str, ...]
    headings: tuple[str, ...]
    chats: tuple[str, ...]

    def templated(self, features: Features) -> bool:
        """Housekeeping by the shape of Open WebUI's templates: an administrator's own wording."""
        ask = features.ask
        if not (_alone(features) and ask[:20].lstrip().lower().startswith(_HEADING)):
            return False
        folded = fold(ends_of(ask))
        if self._retrieves(folded) or self._person_follows(folded):
            return False
        at = min((folded.find(chat) for chat in self.chats if chat in folded), default=-1)
        return at > 0 and any(heading in folded[:at] for heading in self.headings)

    def shaped(self, features: Features) -> bool:
        """An instruction together with a transcript: perhaps housekeeping of an unlisted frontend.

        Either the marks of a template stand there (`<chat_history>`, `### Task:`, a system text that
        instructs and a message that is all transcript), or what stands beside the transcript names
        a product of housekeeping and how to hand it over. A person may have pasted it: where more
        of the person's words follow, it is the person's.
        """
        ask = features.ask
        if not _alone(features) or not any(mark in ask for mark in ":：<"):  # spares the searches
            return False
        ask = ends_of(ask)
        first, reply, tag = _TURN.search(ask), _REPLY.search(ask), _TRANSCRIPT_TAG.search(ask)
        if tag and not _TRANSCRIPT_END.search(ask, tag.end()):
            tag = None  # a tag that is named, with nothing in it
        begins = min((found.start() for found in (first, reply, tag) if found), default=0)
        folded, before = fold(ask), fold(ask[:begins])
        if not (tag or (first and reply)) or self._retrieves(folded):
            return False
        if _BEFORE_NONE.search(before.partition(_HEADING)[0].rstrip(" :")):
            return False
        if not self._person_follows(folded):
            if features.system and tag and not before:
                return True
            if folded.startswith(_HEADING) or (tag and tag[0].lower() == _OPEN):
                return bool(before)
        after = fold(_TRANSCRIPT_END.split(ask)[-1] if tag else ask[begins:].rpartition("\n")[2])
        if tag and len(after) > _AFTER_TRANSCRIPT:
            return False
        beside = f"{before} {after[-_BESIDE:]}"
        if len(beside) > 2 * _BESIDE or any(mark in beside for mark in self.retrieval):
            return False
        return _names(self.products, beside) and bool(
            _COUNTED.search(beside) or _names(self.handovers, beside)
        )

    def find(self, features: Features) -> Marker | None:
        """The marker that fits, or None. A retrieval template or a quoting person fits none."""
        texts = _texts(features)
        ask = texts.get("ask", "")
        # A person's words stand after the chat of a template, or documents before it.
        theirs = ask.startswith(_HEADING) and (self._retrieves(ask) or self._person_follows(ask))
        everything = "\n".join(set(texts.values()))
        for marker in self.markers:
            if marker.phrases[0] not in everything:  # as nearly always
                continue
            if theirs and marker.phrases[0] == _HEADING and marker.task != _UNMARKED:
                continue
            places = ("ask", "turn", "system") if marker.where == "any" else (marker.where,)
            if any(_stands(marker, texts[place], place) for place in places if place in texts):
                return marker
        return None

    def _retrieves(self, ask: str) -> bool:
        """A template that hands over documents with a question, which begins like housekeeping."""
        head = ask[:_RETRIEVAL_IN]
        for chat in self.chats:  # what is quoted in a chat is not the template's
            head = head.partition(chat)[0]
        return head.startswith(_HEADING) and any(mark in head for mark in self.retrieval)

    def _person_follows(self, ask: str) -> bool:
        """Something that is no part of a template comes after its chat.

        Args:
            ask: folded.
        """
        _, closed, rest = ask.rpartition(_CLOSE)
        rest = rest.strip()
        # A text to be completed may itself hold the closing tag; the template's end follows it.
        ours = rest.startswith(self.closings) or rest.endswith(_OUTPUT)
        return bool(closed and rest and _OPEN in ask) and not ours


def load_markers(path: Path = PATH) -> MetaMarkers:
    """Read and check the file.

    Raises:
        ConfigError: it is missing or not of that form; the message names the entry.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: the markers of housekeeping prompts cannot be read ({error.strerror})."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(f"{path}: this is not valid YAML.") from None
    if not isinstance(data, dict) or not isinstance(data.get("markers"), list):
        raise ConfigError(f"{path}: 'markers' must be a list of entries.")
    shapes = data.get("shapes")
    shapes = shapes if isinstance(shapes, dict) else {}
    template = data.get("template")
    template = template if isinstance(template, dict) else {}
    sources = data.get("sources")
    sources = sources if isinstance(sources, dict) else {}
    return MetaMarkers(
        tuple(_marker(path, i, entry, sources) for i, entry in enumerate(data["markers"])),
        _phrases(data.get("retrieval")),
        _phrases(shapes.get("products")),
        _phrases(shapes.get("handovers")),
        _phrases(data.get("closings")),
        *(_phrases(template.get(name)) for name in ("headings", "chats")),
    )


def _marker(path: Path, i: int, entry: Any, sources: dict[str, Any]) -> Marker:
    if not isinstance(entry, dict) or not {"frontend", "version", "task", "where", "all"} <= set(
        entry
    ):
        raise ConfigError(f"{path}: markers[{i}] needs frontend, version, task, where and all.")
    phrases = _phrases(entry["all"])
    if entry["where"] not in PLACES or not phrases:
        raise ConfigError(
            f"{path}: markers[{i}]: 'where' is one of {', '.join(PLACES)}, and 'all' is a list of phrases."
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
    )


def _phrases(values: Any) -> tuple[str, ...]:
    return tuple(fold(str(value)) for value in values) if isinstance(values, list) else ()


def fold(text: str) -> str:
    return _SPACE.sub(" ", text.lower()).strip()


def ends_of(text: str) -> str:
    """Head and tail of a long text: what lies between them is not looked at."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"


def _alone(features: Features) -> bool:
    """The request is one user message, but for system texts."""
    return features.n_user == 1 and not features.previous and features.last_role == "user"


def _texts(features: Features) -> dict[str, str]:
    """The folded texts by the places an instruction may stand in."""
    texts: dict[str, str] = {}
    if _alone(features):
        texts["ask"] = texts["end"] = texts["exact"] = fold(ends_of(features.ask))
    if features.n_messages > 1 and len(features.last_text) <= _LAST_CHARS:
        texts["last"] = fold(features.last_text)
    elif features.n_messages == 1 and len(features.ask) <= _LAST_CHARS:
        texts["last"] = texts.get("ask") or fold(features.ask)
    if features.last_role != "assistant":
        same = features.last_text == features.ask and "ask" in texts
        texts["turn"] = texts["ask"] if same else fold(ends_of(features.last_text))
    if features.system:
        texts["system"] = fold(ends_of(features.system))
    return texts


def _stands(marker: Marker, text: str, place: str) -> bool:
    """Whether all phrases stand there, the first where an instruction does and unquoted."""
    phrases = marker.phrases
    if place == "exact":
        return text == phrases[0]
    first = text.rfind(phrases[0]) if place == "end" else text.find(phrases[0])
    if first < 0 or not all(phrase in text for phrase in phrases):
        return False
    if place == "system":
        return first <= _NEAR
    if place == "end":
        return len(text) - first <= _AT_END
    if _BEFORE_NONE.search(text[:first]):
        return False
    return first <= (_BEGINS if marker.begins else _AT)


def _names(words: tuple[str, ...], text: str) -> bool:
    """Whether one of the words stands in the text, as a word where the script has spaces."""
    return any(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text) for word in words)
