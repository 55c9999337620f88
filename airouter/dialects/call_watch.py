"""Watches an answer's text, as it comes, for tool calls that are written in it.

A call is taken for one where nothing follows it, outside of code and quotations: an answer about
tool calls shows them in code, or goes on behind them.
"""

import re

from airouter.dialects.text_calls import CLOSING, MARK, Call, Scan, Tools, scan

_SHORT = 4096  # characters of a call that are read again whenever a bracket in it closes
_WINDOW = 32  # characters; each closing mark is shorter
_CLOSES = re.compile(r"[}\]>`]")
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

    `text` is held: from the beginning of the piece in which the mark at `mark` is; "" while nothing
    is.

    Args:
        bare: whether an answer that consists of JSON alone may be a call.
    """

    def __init__(self, tools: Tools, *, bare: bool) -> None:
        self.text = ""
        self.mark = 0
        self._tools, self._bare = tools, bare
        self._prose = Prose()
        self._ahead: list[str] = []  # passed, not yet given to `_prose`
        self._begins = bare  # what is said first tells whether it may be bare JSON
        self._scan: Scan | None = None  # of what is held, when it was last looked at

    def passes(self, text: str) -> bool:
        """Whether a piece of text certainly goes on without being held; cheap."""
        if self.text or self._begins or "<" in text or "[" in text:
            return False
        self._ahead.append(text)
        return True

    def feed(self, text: str) -> None:
        """The next piece: held from then on if `text` is not empty afterwards."""
        if not self.text:
            self._catch_up()
            at = self._find(text, 0)
            if at is None:
                return
            self.text, self.mark, self._scan = text, at, None
        else:
            self.text += text
            if not self._worth_a_look(text):
                return
        self._settle()

    def end(self, *, whole: bool) -> list[Call]:
        """The calls that the held text consists of from `mark` on, now that nothing follows; []
        where it does not.

        Args:
            whole: do not put up with calls of which something is missing.
        """
        while self.text:
            found = self._look()
            good = found.ended == "" or (found.ended == "open" and not found.cut)
            if found.calls and good and (found.whole or not whole):
                return found.calls
            self._next()
        return []

    def drop(self, count: int) -> None:
        """Forget so many characters, all of them before the mark."""
        self.text, self.mark = self.text[count:], self.mark - count

    # Inside ---------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        if self._ahead:
            self._prose.feed("".join(self._ahead))
            self._ahead.clear()

    def _find(self, text: str, at: int) -> int | None:
        """Where in the text calls may begin, from a position on."""
        prose = self._prose
        for found in (_MARK_OR_JSON if self._begins else MARK).finditer(text, at):
            prose.feed(text[at : found.start()])
            at = found.start()
            marked = MARK.match(text, at) is not None and not prose.quotes
            if marked or (self._bare and prose.begins and _may_be_json(text[at:])):
                return at
        prose.feed(text[at:])
        self._begins = self._bare and prose.blank
        return None

    def _worth_a_look(self, text: str) -> bool:
        """Whether a piece that was added can change what was last seen."""
        seen = self._scan
        if seen is None or seen.ended == "":
            return True
        if len(self.text) < _SHORT and (not seen.named or _CLOSES.search(text)):
            return True
        return CLOSING.search(self.text, max(0, len(self.text) - len(text) - _WINDOW)) is not None

    def _look(self) -> Scan:
        bare = MARK.match(self.text, self.mark) is None
        self._scan = scan(self.text[self.mark :], self._tools, bare=bare)
        return self._scan

    def _settle(self) -> None:
        while self.text and self._look().ended == "other":
            self._next()

    def _next(self) -> None:
        """On to the next mark: this one is none."""
        self._prose.feed(self.text[self.mark : self.mark + 1])
        at = self._find(self.text, self.mark + 1)
        if at is None:
            self.text, self.mark = "", 0
        else:
            self.mark = at


def _may_be_json(text: str) -> bool:
    """Whether it begins like JSON, alone or in a block of code."""
    return text[0] in "{[" or text.startswith("```") or "```".startswith(text)
