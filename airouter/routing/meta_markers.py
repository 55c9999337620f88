"""The housekeeping prompts of frontends, known by short literal phrases (`config/meta_markers.yaml`)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airouter.errors import ConfigError
from airouter.load_settings import ROOT
from airouter.types import Features

PATH = ROOT / "config" / "meta_markers.yaml"
PLACES = ("ask", "end", "last", "system", "any")

_SPACE = re.compile(r"\s+")
_HEAD, _TAIL = 3000, 1500  # characters that are looked at; an instruction stands at either end
_NEAR = 200  # characters from the beginning of a system text within which the first phrase stands
_AT = 60  # the same for a message, which a frontend begins with its instruction
_AT_END = 400  # characters at the end within which the first phrase of an instruction stands that comes last
_QUOTES = frozenset('"`“”„«»「『')
_LAST_CHARS = 900  # an instruction as the last message is no longer than this
_AFTER_TRANSCRIPT = (
    60  # characters that may follow a transcript; more is a person's own question about it
)
_BESIDE = 400  # characters of instruction beside a transcript
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
    r"(?i)<(?:chat_history|conversation|messages|chat|transcript|dialogue?)>"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """One way a frontend asks: all `phrases` (folded) stand in the text that `where` names."""

    frontend: str
    version: str
    task: str
    where: str
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetaMarkers:
    """What `config/meta_markers.yaml` says, folded for comparing."""

    markers: tuple[Marker, ...]
    retrieval: tuple[str, ...]
    products: tuple[str, ...]
    handovers: tuple[str, ...]

    def shaped(self, features: Features) -> bool:
        """Housekeeping of an unlisted frontend: a transcript, and beside it what to make of it and how to hand it over.

        The instruction is all that stands beside the transcript; a long one is a person's, who has more to say.
        """
        ask = features.ask
        if (
            features.n_user != 1
            or features.previous
            or features.last_role != "user"
            or len(ask) > _HEAD + _TAIL
        ):
            return False
        if not any(
            mark in ask for mark in ":：<"
        ):  # no transcript is without; spares the searches below
            return False
        first, reply, tag = _TURN.search(ask), _REPLY.search(ask), _TRANSCRIPT_TAG.search(ask)
        if not (tag or (first and reply)) or _person_follows(fold(ask)):
            return False
        begins = min(found.start() for found in (first, reply, tag) if found)
        beside = fold(f"{ask[:begins]} {ask[begins:].rpartition(chr(10))[2][-_BESIDE:]}")
        if len(beside) > 2 * _BESIDE or any(mark in beside for mark in self.retrieval):
            return False
        return _names(self.products, beside) and bool(
            _COUNTED.search(beside) or _names(self.handovers, beside)
        )

    def find(self, features: Features) -> Marker | None:
        """The marker that fits, or None. A retrieval template or a person who quotes a marker fits none."""
        texts = _texts(features)
        ask = texts.get("ask", "")
        instruction = ask.partition(_OPEN)[0]
        if any(mark in instruction for mark in self.retrieval) or (ask and _person_follows(ask)):
            texts = {place: text for place, text in texts.items() if place == "system"}
        everything = "\n".join(set(texts.values()))
        for marker in self.markers:
            if marker.phrases[0] not in everything:  # as nearly always
                continue
            places = ("ask", "last", "system") if marker.where == "any" else (marker.where,)
            if any(
                _stands(marker.phrases, texts[place], place) for place in places if place in texts
            ):
                return marker
        return None


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
    return MetaMarkers(
        tuple(_marker(path, i, entry) for i, entry in enumerate(data["markers"])),
        _phrases(data.get("retrieval")),
        _phrases(shapes.get("products")),
        _phrases(shapes.get("handovers")),
    )


def _marker(path: Path, i: int, entry: Any) -> Marker:
    if not isinstance(entry, dict) or not {"frontend", "version", "task", "where", "all"} <= set(
        entry
    ):
        raise ConfigError(f"{path}: markers[{i}] needs frontend, version, task, where and all.")
    phrases = _phrases(entry["all"])
    if entry["where"] not in PLACES or not phrases:
        raise ConfigError(
            f"{path}: markers[{i}]: 'where' is one of {', '.join(PLACES)}, and 'all' is a list of phrases."
        )
    return Marker(
        str(entry["frontend"]), str(entry["version"]), str(entry["task"]), entry["where"], phrases
    )


def _phrases(values: Any) -> tuple[str, ...]:
    return tuple(fold(str(value)) for value in values) if isinstance(values, list) else ()


def fold(text: str) -> str:
    return _SPACE.sub(" ", text.lower()).strip()


def ends_of(text: str) -> str:
    """Head and tail of a long text: what lies between them is not looked at."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]} {text[-_TAIL:]}"


def _texts(features: Features) -> dict[str, str]:
    """The folded texts by the places an instruction may stand in."""
    texts: dict[str, str] = {}
    if features.n_user == 1 and not features.previous and features.last_role == "user":
        texts["ask"] = texts["end"] = fold(ends_of(features.ask))
    if features.n_messages > 1 and len(features.last_text) <= _LAST_CHARS:
        texts["last"] = fold(features.last_text)
    elif features.n_messages == 1 and len(features.ask) <= _LAST_CHARS:
        texts["last"] = fold(features.ask)
    if features.system:
        texts["system"] = fold(ends_of(features.system))
    return texts


def _stands(phrases: tuple[str, ...], text: str, place: str) -> bool:
    """Whether all phrases stand there, the first where an instruction stands and not as a quotation."""
    first = text.rfind(phrases[0]) if place == "end" else text.find(phrases[0])
    if first < 0 or not all(phrase in text for phrase in phrases):
        return False
    if place == "system":
        return first <= _NEAR
    before = text[:first].rstrip()
    if place != "end" and ("?" in before or _QUOTES & set(before)):
        return False
    return len(text) - first <= _AT_END if place == "end" else first <= _AT


def _names(words: tuple[str, ...], text: str) -> bool:
    """Whether one of the words stands in the text, as a word where the script has spaces."""
    return any(re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", text) for word in words)


def _person_follows(ask: str) -> bool:
    """Something that is no heading of the template comes after the transcript, or the marks are quoted after a question."""
    _, closed, rest = ask.rpartition(_CLOSE)
    rest = rest.strip()
    if closed and len(rest) > _AFTER_TRANSCRIPT and not rest.startswith("#"):
        return True
    heading = ask.find("### task")
    return heading > 20
