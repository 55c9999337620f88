"""Watches an answer's text, as it comes, for tool calls that are written in it.

A call is taken for one where nothing follows it, outside of code and quotations: an answer about
tool calls shows them in code, or goes on behind them.
"""

import re

from airouter.dialects.text_calls import CLOSING, MARK, Scan, Tools, WrittenCall, scan

_SHORT = 1024  # characters of a call that are read again whenever a bracket in it closes
_WINDOW = 32  # characters; each closing mark has fewer
_FENCE = re.compile(r"\s{0,3}(?:(?:[-*+]|\d+\.)\s+)?(`{3,}|~{3,})")
_QUOTES = "\"'“‘«(="  # directly before a mark
_MARK_OR_JSON = re.compile(rf"{MARK.pattern}|[{{\[`]")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_LINE = 4096  # characters of a line that are looked at


class Prose:
    """Where in an answer's Markdown the text has got to."""

    def __init__(self) -> None:
        self._line = ""  # the current one, so far
        self._fence = ""  # by which a block of code was opened
        self._thinking = False  # within <think>, at the beginning of the line
        self._blank = True  # before the line

    def feed(self, text: str) -> None:
        *lines, last = (self._line + text).split("\n")
        for line in lines:
            self._end(line)
        self._line = last[-_LINE:]

    def _end(self, line: str) -> None:
        fence = _FENCE.match(line)
        if self._fence:
            closes = fence is not None and fence[1].startswith(self._fence)
            if closes and not line.strip().strip("`~"):
                self._fence = ""
            return
        if fence is not None and not self._thinking:
            self._fence, self._blank = fence[1], False
            return
        said, self._thinking = self._said(line)
        self._blank = self._blank and not said

    def _said(self, line: str) -> tuple[str, bool]:
        """What a line says besides thoughts, and whether it ends within one."""
        whole = f"<think>{line}" if self._thinking else line
        thinking = whole.rfind("<think>") > whole.rfind("</think>")
        return _THOUGHT.sub("", whole).strip() if "<think>" in whole else line.strip(), thinking

    @property
    def fenced(self) -> bool:
        """Whether the text is within a block of code, and this line does not close it."""
        return bool(self._fence) and _FENCE.match(self._line) is None

    @property
    def blank(self) -> bool:
        """Whether nothing was said yet, except thoughts."""
        return self._blank and "<think>".startswith(self._said(self._line)[0])

    @property
    def begins(self) -> bool:
        """Whether what comes next is the first that is said."""
        return self._blank and self._said(self._line) == ("", False)

    @property
    def quotes(self) -> bool:
        """Whether what comes next is code, a quotation or a thought."""
        line = self._line
        return bool(
            self._fence
            or line.count("`") % 2
            or _FENCE.match(line)
            or line.lstrip().startswith(">")
            or line[-1:] in tuple(_QUOTES)
            or (line[:4] == "    " and not line.strip())
            or self._said(line)[1]
        )


class Watch:
    """The text from a mark on that may be calls. Mutable: fed in order.

    While text is held, it is all that came from the beginning of the piece with the mark on, and
    `mark` is where the mark is in it.

    Args:
        bare: whether an answer that consists of JSON alone may be a call.
    """

    def __init__(self, tools: Tools, *, bare: bool) -> None:
        self.mark = 0
        self._tools, self._bare = tools, bare
        self._prose = Prose()
        self._ahead: list[str] = []  # passed, not yet given to `_prose`
        self._begins = bare  # what is said first tells whether it may be bare JSON
        self._json = False  # whether JSON may begin at the mark
        self._fenced = False  # certainly within a block of code
        self._held: list[str] = []
        self._length = 0  # of what is held
        self._scan: Scan | None = None  # of what is held, when it was last looked at

    @property
    def holds(self) -> bool:
        return bool(self._held)

    @property
    def text(self) -> str:
        """What is held."""
        if len(self._held) > 1:
            self._held = ["".join(self._held)]
        return self._held[0] if self._held else ""

    def passes(self, text: str) -> bool:
        """Whether a piece of text certainly goes on without being held; cheap."""
        if self._held or self._begins:
            return False
        if self._fenced and ("`" in text or "~" in text):
            self._fenced = False  # until that is looked at
        if not self._fenced and ("<" in text or "[" in text) and MARK.search(text):
            return False
        self._ahead.append(text)
        return True

    def feed(self, text: str) -> None:
        """The next piece; see `holds` for whether it is held."""
        if self._held:
            self._held.append(text)
            self._length += len(text)
            if not self._worth_a_look(text):
                return
        else:
            if self._ahead:
                self._prose.feed("".join(self._ahead))
                self._ahead.clear()
            at = self._find(text, 0)
            if at is None:
                return
            self._held, self._length, self.mark = [text], len(text), at
        while self._held and self._look().ended == "other":
            self._next()

    def end(self, *, whole: bool) -> list[WrittenCall]:
        """The calls that the held text consists of from `mark` on, now that nothing follows; []
        where it does not.

        Args:
            whole: do not put up with calls of which something is missing.
        """
        while self._held:
            found = self._look()
            good = found.ended == "" or (found.ended == "open" and not found.cut)
            if found.calls and good and (found.whole or not whole):
                return found.calls
            self._next()
        return []

    def drop(self, count: int) -> None:
        """Forget so many characters, all of them before the mark."""
        self._held, self._length = [self.text[count:]], self._length - count
        self.mark -= count

    # Inside ---------------------------------------------------------------------------------------

    def _find(self, text: str, at: int) -> int | None:
        """Where in the text calls may begin, from a position on."""
        prose = self._prose
        for found in (_MARK_OR_JSON if self._begins else MARK).finditer(text, at):
            prose.feed(text[at : found.start()])
            at = found.start()
            self._json = self._begins and prose.begins and _may_be_json(text[at:])
            if self._json or (MARK.match(text, at) and not prose.quotes):
                return at
        prose.feed(text[at:])
        self._begins = self._begins and prose.blank
        self._fenced = prose.fenced
        return None

    def _worth_a_look(self, text: str) -> bool:
        """Whether a piece that was added can change what was last seen."""
        seen = self._scan
        if seen is None or seen.ended == "":
            return True
        if self._length < _SHORT and (not seen.named or "}" in text or "]" in text):
            return True
        tail = "".join(self._held[-_WINDOW:])  # no piece is empty
        return CLOSING.search(tail, max(0, len(tail) - len(text) - _WINDOW)) is not None

    def _look(self) -> Scan:
        text = self.text
        if MARK.match(text, self.mark):
            self._scan = scan(text[self.mark :], self._tools, bare=False)
        elif self._json:
            self._scan = scan(text[self.mark :], self._tools, bare=True)
        else:  # only its beginning looked like a mark
            self._scan = Scan(ended="other")
        return self._scan

    def _next(self) -> None:
        """On to the next mark: this one is none."""
        text = self.text
        self._prose.feed(text[self.mark : self.mark + 1])
        at = self._find(text, self.mark + 1)
        if at is None:
            self._held, self._length, self.mark = [], 0, 0
        else:
            self.mark = at


def _may_be_json(text: str) -> bool:
    """Whether it begins like JSON, alone or in a block of code."""
    return text[0] in "{[" or text.startswith("```") or "```".startswith(text)
