"""Whether a program may have made a request for itself, such as one for a title of a conversation.

Weaker than the rules' markers and without names of frontends: an instruction that names a typical
product, a conversation, and the form of the output. People write such instructions too. By itself
it is only a reason not to search or to use the cloud on a guess; with a transcript, see the rules.
"""

import re

from airouter.domain.types import Features

_CHARS = 400  # at the start of an instruction, where all three are named
_PRODUCT = re.compile(
    r"\b(?:titles?|titling|tags?|follow-?ups?|suggest\w*|summar\w+|compress\w*|compact\w*|"
    r"condens\w*|re(?:phrase|write|formulate)\w*|quer(?:y|ies)|classif\w+|keywords?|extract\w*|"
    r"emoji|memor\w+|topic|titel|titre|título|titolo|zusammenfass\w*|résum\w+|resum\w+|riassu\w+)"
    r"\b|заголов|кратк|标题|標題|总结|總結|摘要|标签|タイトル|要約|제목|요약"
)
# Products of which a transcript may be cut; a summary needs all of it.
_LABEL = re.compile(
    r"\b(?:titles?|titling|tags?|follow-?ups?|suggestions?|search quer(?:y|ies)|emoji|keywords?|"
    r"topic|titel|titre|título|titolo)\b|заголов|标题|標題|标签|タイトル|제목"
)
_CONVERSATION = re.compile(
    r"\b(?:conversations?|chats?|threads?|sessions?|dialogue?s?|transcripts?|"
    r"(?:last|first|user'?s?|follow[- ]up) (?:message|question|query|input|prompt)|gespräch\w*|"
    r"unterhaltung|conversaci[oó]n|conversazione|conversa|discussion)\b|"
    r"разговор|диалог|对话|對話|会话|聊天|会話|대화"
)
_FORM = re.compile(
    r"\b(?:only|nothing else|json|no (?:quotes|explanations?|preamble|punctuation)|at most|"
    r"max(?:imum)?|\d+ ?(?:-|–|to)? ?\d* (?:words?|characters?|tokens?|sentences?)|"
    r"words? or (?:less|fewer)|concise|short|brief|nur|seulement|sólo|solo|apenas)\b|"
    r"только|не более|只|仅|不超过|のみ|だけ|만"
)


def may_be_a_programs(features: Features) -> bool:
    """Whether the system message or the latest turn is an instruction about a conversation.

    An agent's system message says all that and more; there the latest turn decides.
    """
    texts = [features.last_text] if features.agent else [features.system, features.last_text]
    return any(_instructs(text[:_CHARS].lower()) for text in texts)


def asks_for_a_label(system: str) -> bool:
    """Whether a system message asks for a title, tags and the like of a conversation."""
    return _LABEL.search(system[:_CHARS].lower()) is not None and _instructs(
        system[:_CHARS].lower()
    )


def _instructs(text: str) -> bool:
    return all(pattern.search(text) for pattern in (_PRODUCT, _CONVERSATION, _FORM))
