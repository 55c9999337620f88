"""Token estimates against counts by real tokenizers.

The counts are those of Qwen's tokenizer (`qwen.tiktoken` of the package dashscope) and of cl100k
(of the package litellm 1.110), whichever is larger, measured with tiktoken in 2026-11.
"""

from __future__ import annotations

from typing import Any

import pytest
from asked import IMAGE, TOOLS, demand, of_body

from airouter.planning.tokens import estimate

TEXTS = {
    "english": (
        "The harbour was quiet when the last ferry came in. Nobody had expected it to arrive "
        "before midnight, least of all the woman who kept the ticket office, and she had alre"
        'ady put the kettle on. "You might have telephoned," she said, although both of them '
        "knew that the line had been down since the storm on Tuesday. They drank their tea wi"
        "thout hurrying and talked about the price of diesel, the new school, and whether the"
        " council would ever repair the road.",
        97,
    ),
    "code": (
        "class RingBuffer:\n"
        '    """Keeps the latest `size` values."""\n'
        "\n"
        "    def __init__(self, size: int) -> None:\n"
        "        self._items: list[float] = [0.0] * size\n"
        "        self._next, self._count = 0, 0\n"
        "\n"
        "    def append(self, value: float) -> None:\n"
        "        self._items[self._next] = value\n"
        "        self._next = (self._next + 1) % len(self._items)\n"
        "        self._count = min(self._count + 1, len(self._items))\n"
        "\n"
        "    def mean(self) -> float:\n"
        "        return sum(self._items[: self._count]) / max(1, self._count)\n",
        149,
    ),
    "c": (
        "static int parse_header(const char *buf, size_t len, struct header *out) {\n"
        "    if (len < sizeof(uint32_t) || buf == NULL) return -EINVAL;\n"
        "    out->magic = ntohl(*(const uint32_t *)buf);\n"
        "    for (size_t i = 4; i + 1 < len; i += 2) {\n"
        "        out->fields[out->n++] = (uint8_t)buf[i] << 8 | (uint8_t)buf[i + 1];\n"
        "    }\n"
        "    return out->magic == 0xCAFEBABE ? 0 : -EBADMSG;\n"
        "}\n",
        135,
    ),
    "chinese": (
        "港口很安静,最后一班渡轮终于靠岸了。没有人料到它会在午夜之前到达,售票处的那位女士已"
        "经把水烧上了。她说:“你本来可以打个电话的。”虽然两个人都知道,自从星期二的暴风雨以"
        "来,电话线一直不通。",
        111,
    ),
    "japanese": (
        "最後のフェリーが着いたとき、港は静かだった。真夜中より前に着くとは誰も思っていなかっ"
        "たし、切符売り場の女性はもうお湯を沸かしていた。「電話をくれればよかったのに」と彼女"
        "は言ったが、火曜日の嵐から電話が通じないことは二人とも知っていた。",
        127,
    ),
    "korean": (
        "마지막 여객선이 들어왔을 때 항구는 조용했다. 자정 전에 도착하리라고는 아무"
        "도 예상하지 못했고, 매표소의 여자는 이미 물을 끓이고 있었다. 화요일의 폭"
        "풍 이후로 전화가 끊긴 것을 두 사람 모두 알고 있었지만 그녀는 전화라도 하"
        "지 그랬느냐고 말했다.",
        142,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_estimate_is_at_most_15_percent_low(name: str) -> None:
    """On prose, code and CJK; nor is it twice too high, and its lower bound is one."""
    text, counted = TEXTS[name]
    usual, least = estimate(text)
    assert 0.85 * counted <= usual <= 1.5 * counted
    assert least <= counted


@pytest.mark.parametrize(
    ("text", "counted"),
    [("a" * 800, 100), ("=" * 640, 10), (" " * 1000, 8), ("1234567890" * 30, 100), ("\n" * 99, 2)],
    ids=("letters", "signs", "spaces", "digits", "lines"),
)
def test_the_lower_bound_holds_for_unusual_text(text: str, counted: int) -> None:
    """Of which cl100k makes long tokens (the counts are roughly its); no prompt is refused for
    tokens that it may not have."""
    assert estimate(text)[1] <= counted * 1.4


def test_tools_images_and_calls_count() -> None:
    """Everything the model reads; not the limit of the answer."""
    plain = demand("Hello").tokens.value
    assert demand("Hello", max_tokens=5000).tokens.value == plain
    assert demand("Hello", tools=TOOLS).tokens.value > plain + 15
    assert demand([{"type": "text", "text": "Hello"}, IMAGE]).tokens.value > plain + 500
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turn: dict[str, Any] = {"role": "assistant", "content": None}
    with_calls = of_body("chat", {"messages": [{**turn, "tool_calls": calls}]})
    assert with_calls.tokens.value > of_body("chat", {"messages": [turn]}).tokens.value + 10
    assert of_body("completions", {"prompt": [1, 2, 3]}).tokens.value == 3
    assert of_body("completions", {"prompt": ["one", "one two three four"]}).tokens.value < 6


def test_an_estimate_close_to_a_limit_is_doubtful() -> None:
    """Only there is a backend asked."""
    text = "The quick brown fox jumps over the lazy dog. " * 100
    for factor, exceeds, doubtful in ((0.5, True, False), (0.95, True, True), (1.1, False, True),
                                      (1.6, False, False)):  # fmt: skip
        tokens = demand(text).tokens
        assert tokens.exceeds(int(tokens.value * factor)) is exceeds
        assert tokens.doubtful is doubtful
    short = demand("Hello").tokens
    assert not short.exceeds(256)
    assert short._estimate is None  # a short prompt is not even estimated


def test_a_count_replaces_the_estimate() -> None:
    tokens = demand("Hello", counted=40_001).tokens
    assert (tokens.exceeds(40_000), tokens.exceeds(40_001)) == (True, False)
    assert (tokens.surely_exceeds(40_000), tokens.doubtful) == (True, False)
