"""Whether one of the client's own tools can fetch what a request needs.

If a client can search the web or get the weather, the model calls its tool, and a search by the
router would cost seconds and send the request to the cloud needlessly. Tools in general do not
count: Open WebUI sends about forty with every chat, for its notes, chats and calendars.
"""

import re
from typing import Any

_MAX_NAME, _MAX_DESCRIPTION = 80, 300  # characters
_MAX_TOOLS = 400  # further tools are ignored
_WORD = re.compile(r"[a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# A web search or browser, recognised by the words of its name, or by its description.
_WEB_NAME = re.compile(
    r"\bweb\b.*\b(?:search|fetch|browse|browser|lookup|reader|scrape|query|page)|"
    r"\b(?:search|fetch|browse|read|open|scrape|query|crawl)\b.*\b(?:web|internet|online|url|urls|"
    r"webpage|website|news)\b|"
    r"\b(?:websearch|webfetch|webbrowser|browser|browse|internet|google|bing|brave|duckduckgo|ddg|"
    r"tavily|searxng|serper|serpapi|perplexity|firecrawl|kagi|playwright|puppeteer|x search)\b|"
    r"\bexa (?:web )?search\b|\bfetch fetch\b|"
    r"^(?:fetch|scrape|crawl|live search|search engine)\b *$"
)
_WEB_DESCRIPTION = re.compile(
    r"\b(?:search(?:es|ing)?|brows(?:e|es|ing)|quer(?:y|ies|ying)) (?:\w+ ){0,3}"
    r"(?:web|internet|google|bing|brave|duckduckgo)\b|"
    r"\bweb (?:search|brows(?:er|ing))|\bfetch(?:es)? (?:\w+ ){0,3}(?:url|web ?pages?|websites?)\b"
)
# Words in the name of a special tool, and beginnings of words in requests that need it.
_TOPICS = (
    (
        "weather forecast meteo temperature climate",
        "weather forecast rain snow sunny umbrella windy humid temperature degrees wetter regen "
        "regnet schnee météo meteo pleut pluie tiempo clima llueve lluvia chuva chove pioggia "
        "piove weer regent погод дожд снег 天气 下雨 天気 雨 날씨 طقس hava",
    ),
    (
        "stock stocks share shares ticker quote market finance",
        "stock share ticker nasdaq dow market aktie börse action bourse acciones bolsa акци 股 株",
    ),
    (
        "crypto coin bitcoin ethereum token",
        "crypto bitcoin btc ethereum eth coin token биткоин 比特币",
    ),
    (
        "currency exchange forex fx rate rates",
        "currency exchange euro dollar usd eur gbp yen yuan wechselkurs taux cambio курс 汇率",
    ),
    (
        "news headlines headline articles",
        "news headline happening nachrichten noticias новост 新闻",
    ),
    (
        "sports sport score scores match matches standings league fixtures",
        "score match game won standings league fixture spiel tabelle partido матч счёт 比赛",
    ),
    ("flight flights airline", "flight plane airline flug vol vuelo рейс 航班"),
    (
        "train trains transit bus departures timetable",
        "train bus tram departure timetable zug bahn fahrplan tren поезд 火车",
    ),
    (
        # Only the person's own: a public meeting is not in their calendar.
        "calendar event events appointment appointments meeting meetings",
        "my_calendar my_appointments my_schedule my_meetings mein_kalender meinem_kalender "
        "meine_termine mon_agenda mi_calendario мой_календарь 我的日程",
    ),
    ("email emails mail mails inbox gmail", "email mail inbox e-mail correo письм 邮件"),
    ("traffic route directions commute", "traffic commute stau verkehr trafic tráfico пробк 路况"),
    ("price prices product products", "price cost preis prix precio цен 价格"),
)
_TOPIC_TABLE = tuple(
    (frozenset(names.split()), tuple(word.replace("_", " ") for word in words.split()))
    for names, words in _TOPICS
)
# First words of names whose other words say what the tool fetches.
_FETCHES = frozenset({"get", "fetch", "lookup", "check", "current", "latest", "live"})
_FILLER = (
    "get fetch lookup check current latest live look up by for of the in all my a info data list "
    "details detail status time timestamp date user item items value now today url file"
)
_FILLER_WORDS = frozenset(_FILLER.split())


def tools_of(payload: dict[str, Any]) -> tuple[str, ...]:
    """The tools that the model may call, each as "name" or "name: description" in lower case."""
    if payload.get("tool_choice") == "none":
        return ()
    found: list[str] = []
    lists = [payload.get(name) for name in ("tools", "functions")]
    entries = [entry for each in lists if isinstance(each, list) for entry in each[:_MAX_TOOLS]]
    for entry in entries[:_MAX_TOOLS]:
        if isinstance(entry, dict):
            found += _described(entry)
    return tuple(found)


def _described(entry: dict[str, Any]) -> list[str]:
    """The tools of an entry: a function, with or without wrapper, a built-in tool or a group."""
    inner = entry.get("function")
    tool = inner if isinstance(inner, dict) else entry
    group = entry.get("tools")
    if isinstance(group, list):
        return [
            each for one in group[:_MAX_TOOLS] if isinstance(one, dict) for each in _described(one)
        ]
    kind = entry.get("type")
    name = tool.get("name") or tool.get("server_label")
    if not isinstance(name, str):
        name = kind if isinstance(kind, str) and kind != "function" else ""
    if not name:
        return []
    name = " ".join(_WORD.findall(_CAMEL.sub(" ", name[:_MAX_NAME]).lower()))
    about = tool.get("description")
    about = " ".join(about[:_MAX_DESCRIPTION].lower().split()) if isinstance(about, str) else ""
    return [f"{name}: {about}" if about else name]


def fetching_tool(tools: tuple[str, ...], ask: str) -> str | None:
    """The name, in words, of a tool that can fetch what the ask needs; None if there is none.

    Args:
        tools: as returned by `tools_of()`.
    """
    text = ask[:4000].lower()
    words = set(_WORD.findall(text))
    for tool in tools:
        name, _, about = tool.partition(": ")
        if _WEB_NAME.search(name) or _WEB_DESCRIPTION.search(about) or _fits(name, text, words):
            return name
    return None


def _fits(name: str, text: str, words: set[str]) -> bool:
    """Whether a special tool and the ask have the same topic."""
    parts = name.split()
    own = set(parts) - _FILLER_WORDS
    topics = [needs for names, needs in _TOPIC_TABLE if own & names]
    if topics:
        return any(_names(need, text, words) for needs in topics for need in needs)
    return bool(parts) and parts[0] in _FETCHES and bool(own & words)


def _names(need: str, text: str, words: set[str]) -> bool:
    """Whether a word of the ask begins with `need`, or, in other scripts, contains it."""
    if need.isascii() and need.isalnum():
        return any(word.startswith(need) for word in words)
    return need in text
