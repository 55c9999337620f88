"""`sessions`: finished requests listed, shown, followed, searched, counted, exported and queried."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.index.rows import COLUMNS
from airouter.sessions.find import EMPTY, Filter, NoSessions, Requests
from airouter.settings.load import ROOT, load_settings
from airouter.settings.server import Logging

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="sessions_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help)
        added.add_argument(
            "--log-dir",
            type=_path,
            metavar="DIR",
            help="directory with sessions/ and the index (default: logging.dir)",
        )
        command.add_arguments(added)


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_DFL:  # so that a progress bar gives the cursor back
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = COMMANDS[args.sessions_command].run(args)
        sys.stdout.flush()
        return status
    except NoSessions as error:
        _say(str(error))
        return 1
    except BrokenPipeError:  # `| head`; Python would complain about it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}.")
        return 1
    except KeyboardInterrupt:
        return 0 if args.sessions_command == "tail" else 130
    finally:
        if previous is signal.SIG_DFL:
            signal.signal(signal.SIGINT, previous)


# The subcommands. They import what they need: rich and numpy take their time, and DuckDB is
# optional.


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_filter(parser)
    _add_limit(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")


def _list(args: argparse.Namespace) -> int:
    from airouter.sessions import listing

    requests = Requests(_log_dir(args))
    if args.json:
        return _json_lines(requests, args, "-at")
    rows = list(
        requests.rows(_filter(args), columns=listing.COLUMNS, order="-at", limit=args.limit)
    )
    return _table(listing.listed, rows, requests)


def _add_slow(parser: argparse.ArgumentParser) -> None:
    _add_filter(parser)
    _add_limit(parser)
    parser.add_argument(
        "--over", type=_milliseconds, default=0.0, metavar="MS", help="only those that took longer"
    )


def _slow(args: argparse.Namespace) -> int:
    from airouter.sessions import listing
    from airouter.sessions.terminal import progress

    requests = Requests(_log_dir(args))
    with progress("requests") as advance:
        rows = list(
            requests.rows(
                _filter(args),
                columns=listing.COLUMNS,
                order="-total_ms",
                limit=args.limit,
                progress=advance,
            )
        )
    return _table(listing.slowest, [one for one in rows if one["total_ms"] > args.over], requests)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "session", type=_named, metavar="ID|FILE", help="first 8 characters of the id, or a file"
    )
    parser.add_argument("--json", action="store_true", help="the session file itself")


def _show(args: argparse.Namespace) -> int:
    import orjson

    from airouter.sessions.files import Files
    from airouter.sessions.show import find, shown_session
    from airouter.sessions.terminal import out

    name, path = args.session
    document, others = find(Files(_log_dir(args)), name, path)
    if args.json:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 0
    console = out()
    for part in shown_session(document):
        console.print(part)
    if others:
        _say(f"{others} older sessions begin with this id, too; name the file to see one.")
    return 0


def _add_tail(parser: argparse.ArgumentParser) -> None:
    _add_filter(parser)
    parser.add_argument(
        "--lines", type=_count, default=10, metavar="N", help="of earlier sessions (default: 10)"
    )


def _tail(args: argparse.Namespace) -> int:
    from airouter.sessions.files import Files
    from airouter.sessions.listing import follow
    from airouter.sessions.terminal import out

    console = out()
    for line in follow(Files(_log_dir(args)), _filter(args), args.lines, Clock().sleep):
        console.print(line, soft_wrap=True)
        sys.stdout.flush()
    return 0


def _add_grep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", type=_pattern, help="regular expression")
    parser.add_argument("-i", "--ignore-case", action="store_true")
    _add_since(parser)


def _grep(args: argparse.Namespace) -> int:
    from airouter.sessions.files import Files
    from airouter.sessions.grep import heading, search
    from airouter.sessions.terminal import out, progress

    log_dir = _log_dir(args)
    files, console, found = Files(log_dir), out(), 0
    if not files.names():
        raise NoSessions(EMPTY.format(log_dir))
    pattern = re.compile(args.pattern.pattern, re.IGNORECASE if args.ignore_case else 0)
    with progress("sessions") as advance:
        for document, lines in search(files, pattern, args.since, advance):
            found += 1
            for line in (heading(document), *lines):
                console.print(line, soft_wrap=True)
    _say_skipped(files.skipped)
    if not found:
        _say("Nothing was found.")
    return 0 if found else 1


def _add_stats(parser: argparse.ArgumentParser) -> None:
    _add_filter(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _stats(args: argparse.Namespace) -> int:
    import orjson

    from airouter.sessions import stats
    from airouter.sessions.terminal import out, progress

    requests = Requests(_log_dir(args))
    _say_source(requests)
    with progress("requests") as advance:
        made = stats.collect(
            requests.rows(_filter(args), columns=stats.COLUMNS, order="rowid", progress=advance)
        )
    if args.json:
        print(orjson.dumps(stats.as_json(made), option=orjson.OPT_INDENT_2).decode())
    else:
        console = out()
        for part in stats.printed(made, requests.source):
            console.print(part)
    _say_skipped(requests.files.skipped)
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_mutually_exclusive_group(required=True)
    formats.add_argument("--csv", type=_path, metavar="FILE", help="write CSV")
    formats.add_argument("--parquet", type=_path, metavar="FILE", help="write Parquet (DuckDB)")
    _add_filter(parser)


def _export(args: argparse.Namespace) -> int:
    from airouter.sessions.export import to_csv, to_parquet
    from airouter.sessions.terminal import progress

    requests = Requests(_log_dir(args))
    _say_source(requests)
    with progress("requests") as advance:
        rows = requests.rows(_filter(args), progress=advance)
        count = to_csv(args.csv, rows) if args.csv else to_parquet(args.parquet, rows)
    print(f"Written: {args.csv or args.parquet}, {count:,} requests")
    _say_skipped(requests.files.skipped)
    return 0


def _add_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "statement", help="on requests, backend_events, slo_events (the index) and sessions"
    )
    _add_limit(parser, 100)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")


def _sql(args: argparse.Namespace) -> int:
    import orjson

    from airouter.sessions import sql
    from airouter.sessions.terminal import out, progress, shown, table

    with progress("requests") as advance:
        result = sql.run(_log_dir(args), args.statement, args.limit, advance)
    if args.json:
        for one in result.rows:
            named = dict(zip(result.columns, one, strict=True))
            print(orjson.dumps(named, default=str).decode())
    else:
        numbers = [
            any(isinstance(one[i], int | float) for one in result.rows)
            for i in range(len(result.columns))
        ]
        headings = list(zip(map(shown, result.columns), numbers, strict=True))
        out().print(table(headings, [tuple(map(shown, one)) for one in result.rows]))
    if result.more:
        _say(f"There are more than {args.limit:,} rows; see --limit.")
    _say_skipped(result.skipped)
    return 0


# What they share ----------------------------------------------------------------------------------


def _json_lines(requests: Requests, args: argparse.Namespace, order: str) -> int:
    import orjson

    for one in requests.rows(_filter(args), columns=COLUMNS, order=order, limit=args.limit):
        print(orjson.dumps(one).decode())
    _say_skipped(requests.files.skipped)
    return 0


def _table(make: Callable[..., object], rows: list[dict[str, object]], requests: Requests) -> int:
    from airouter.sessions.terminal import out

    _say_source(requests)
    if rows:
        out().print(make(rows))
    else:
        _say("No requests fit.")
    _say_skipped(requests.files.skipped)
    return 0


def _say(sentence: str) -> None:
    from airouter.sessions.terminal import say

    say(sentence)


def _say_source(requests: Requests) -> None:
    if not requests.indexed:
        _say(f"There is no index of requests in {requests.log_dir}, so the session files are read.")


def _say_skipped(number: int) -> None:
    if number:
        _say(f"Files that are no session files, or are truncated, were skipped: {number:,}.")


def _log_dir(args: argparse.Namespace) -> Path:
    """--log-dir, else the configured one; where no configuration can be loaded the default,
    because sessions are also read on machines on which no router runs."""
    if args.log_dir is not None:
        return Path(args.log_dir)
    environ = dict(os.environ)
    try:
        if nothing_configured(environ):
            environ |= placeholders()
        return load_settings(environ).logging.dir
    except ConfigError:
        _say("the configuration is not valid, so the defaults apply; see check-config.")
        return ROOT / Logging().dir


def _add_since(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--since",
        type=_since,
        metavar="TIME",
        help="30s, 10m, 1h, 2d or 1w ago, or a date: 2026-11-21T08:45",
    )


def _add_filter(parser: argparse.ArgumentParser) -> None:
    _add_since(parser)
    for name in ("route", "outcome", "reason", "backend"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"only with this {name}")


def _add_limit(parser: argparse.ArgumentParser, default: int = 20) -> None:
    parser.add_argument(
        "--limit", type=_count, default=default, metavar="N", help=f"rows (default: {default})"
    )


def _filter(args: argparse.Namespace) -> Filter:
    return Filter(args.since, args.route, args.outcome, args.reason, args.backend)


def _since(text: str) -> float:
    """Seconds since 1970 of a time, or of one so long ago."""
    ago = _DURATION.fullmatch(text)
    if ago:
        return Clock().time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration such as 1h nor a date such as 2026-11-21"
        ) from None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _milliseconds(text: str) -> float:
    return float(_count(text))


def _path(text: str) -> Path:
    """Relative to the directory in which the command was called, which it leaves later."""
    return Path(text).absolute()


def _named(text: str) -> tuple[str, Path]:
    return text, _path(text)


class _Command(NamedTuple):
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "list": _Command("the newest requests", _add_list, _list),
    "show": _Command("one session: its timeline and messages", _add_show, _show),
    "tail": _Command("sessions as they end, until Ctrl-C", _add_tail, _tail),
    "slow": _Command("the slowest requests, and what took longest", _add_slow, _slow),
    "grep": _Command("search questions and answers", _add_grep, _grep),
    "stats": _Command("counts, times, tokens, speculation", _add_stats, _stats),
    "export": _Command("requests as CSV or Parquet", _add_export, _export),
    "sql": _Command("query requests and sessions with DuckDB", _add_sql, _sql),
}
