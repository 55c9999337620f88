"""The same ask in another shape: with a greeting or thanks, quoted, or after an earlier exchange.
The label stays; training on both teaches the model that it does.

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
_POLITE, _QUOTED = 0.45, 0.6  # shares, added up; the rest gets an earlier exchange


def reshaped(features: Features, chance: random.Random) -> Features:
    """A copy in another shape."""
    kind, ask = chance.random(), features.ask
    if kind < _POLITE:
        before = chance.choice(_GREETINGS) if chance.random() < 0.75 else ""
        after = chance.choice(_THANKS) if not before or chance.random() < 0.65 else ""
        return replace(features, ask=f"{before}{ask}{after}")
    if kind < _QUOTED:
        return replace(features, ask=chance.choice(_QUOTES) % ask)
    earlier = chance.choice(_EARLIER)
    return replace(features, previous=(*earlier, *features.previous), n_user=features.n_user + 1)
