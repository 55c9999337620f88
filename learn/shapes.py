"""The same ask in another shape: with a greeting or thanks, quoted, with typing errors, or after an
earlier exchange. The label stays; training on both teaches the model that it does.

A system message needs no such copies: the model does not read it.
"""

import random
from dataclasses import replace

from airouter.domain.types import Features

_GREETINGS = (
    "Hey! ", "Hi, ", "Hello! ", "Good evening. ", "hiya ", "Greetings, ", "Please help: ",
    "Hi, sorry to bother you. ", "Hi team, ", "ok so ", "Hallo, ", "Moin, ", "Salut, ",
    "Bonjour ! ", "Ciao! ", "Hola, ", "Olá, ", "Привет! ", "Cześć, ", "Merhaba, ",
    "你好，", "こんにちは。", "안녕하세요. ", "नमस्ते, ", "مرحبا، ",
)  # fmt: skip
_THANKS = (
    " Thanks.", " thank you!", " TIA", " Many thanks!", " Thank you for your time.", " please",
    " Best regards, Tom", " Danke dir!", " Vielen Dank.", " Merci !", " Grazie.", " Gracias.",
    " Obrigado!", " Спасибо!", " Dzięki!", " Teşekkürler.",
    " 谢谢！", " お願いします。", " 감사합니다.", " धन्यवाद।", " شكرا",
)  # fmt: skip
_QUOTES = ('"%s"', "'%s'", "«%s»", "„%s“", "> %s")
_EARLIER = (
    (("user", "Hello"), ("assistant", "Hi there! What can I do for you?")),
    (
        ("user", "Can you recommend a good name for a grey cat?"),
        ("assistant", "How about Misty, Ash or Pewter?"),
    ),
    (("user", "thanks that worked"), ("assistant", "Glad to hear it. Anything else?")),
    (("user", "Translate 'good night' to French"), ("assistant", "Bonne nuit.")),
    (("user", "Was ist 15 Prozent von 80?"), ("assistant", "15 Prozent von 80 sind 12.")),
    (("user", "写一句生日祝福"), ("assistant", "祝你生日快乐，天天开心！")),
)
_POLITE, _QUOTED, _NOISY = 0.4, 0.53, 0.65  # shares, added up; the rest: an earlier exchange


def reshaped(features: Features, chance: random.Random) -> Features:
    """A copy in another shape."""
    kind, ask = chance.random(), features.ask
    if kind < _POLITE:
        before = chance.choice(_GREETINGS) if chance.random() < 0.75 else ""
        after = chance.choice(_THANKS) if not before or chance.random() < 0.65 else ""
        return replace(features, ask=f"{before}{ask}{after}")
    if kind < _QUOTED:
        return replace(features, ask=chance.choice(_QUOTES) % ask)
    if kind < _NOISY:
        return replace(features, ask=_noisy(ask, chance))
    earlier = chance.choice(_EARLIER)
    return replace(features, previous=(*earlier, *features.previous), n_user=features.n_user + 1)


def _noisy(ask: str, chance: random.Random) -> str:
    """With a letter lost or doubled in some words, and without capitals and closing mark."""
    words = ask.split(" ")
    for at in chance.sample(range(len(words)), 1 + len(words) // 15):
        word = words[at]
        if len(word) > 3:
            cut = chance.randrange(1, len(word) - 1)
            words[at] = word[:cut] + chance.choice(("", 2 * word[cut])) + word[cut + 1 :]
    return " ".join(words).lower().rstrip(".?!。？！ ") or ask
