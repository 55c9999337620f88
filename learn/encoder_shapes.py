"""The same ask in other shapes, for the encoder's head: some to train on, others to measure with.

System messages, tools and earlier turns are no shapes here: the encoder does not see them.
"""

import random
from collections.abc import Callable

_TRAIN_BEFORE = (
    "Hey! ", "Hi, ", "Hello! ", "Good evening. ", "hiya ", "Greetings, ", "Please help: ",
    "Hi, sorry to bother you. ", "ok so ", "Hallo, ", "Moin, ", "Salut, ", "Ciao! ", "Olá, ",
    "Привет! ", "你好，", "こんにちは。", "안녕하세요. ", "नमस्ते, ", "مرحبا، ",
)  # fmt: skip
_TRAIN_AFTER = (
    " Thanks.", " thank you!", " TIA", " Many thanks!", " Thank you for your time.", " please",
    " Best regards, Tom", " Vielen Dank.", " Merci !", " Grazie.", " Obrigado!", " Спасибо!",
    " 谢谢！", " お願いします。", " 감사합니다.",
)  # fmt: skip
_TRAIN_QUOTES = ("'{}'", "«{}»", "„{}“", "> {}")
_TEST_BEFORE = (
    "Hi! ", "Hello there, ", "Hey, hope you're doing well. ", "Good morning! ",
    "Hi there! Quick question: ", "Dear assistant, ", "Guten Tag! ", "Bonjour, ", "¡Hola! ",
)  # fmt: skip
_TEST_AFTER = (
    " Thanks!", " Thank you so much!", " Thanks in advance.", " Cheers.", " Much appreciated!",
    " Danke!", " Merci d'avance.", " Gracias!", " Thank you very much for your help.", " thx",
)  # fmt: skip


def for_training(ask: str, chance: random.Random) -> str:
    """With a greeting, thanks, both, or in quotes."""
    kind = chance.random()
    if kind < 0.25:
        return chance.choice(_TRAIN_QUOTES).format(ask)
    before = chance.choice(_TRAIN_BEFORE) if kind < 0.75 else ""
    after = chance.choice(_TRAIN_AFTER) if kind >= 0.5 else ""
    return f"{before}{ask}{after}"


def polite(ask: str, chance: random.Random) -> str:
    return f"{chance.choice(_TEST_BEFORE)}{ask}{chance.choice(_TEST_AFTER)}"


def quoted(ask: str, _: random.Random) -> str:
    return f'"{ask}"'


MEASURED: dict[str, Callable[[str, random.Random], str]] = {"polite": polite, "quoted": quoted}
