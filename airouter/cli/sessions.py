"""`sessions`: finished requests, listed, shown, searched, counted, exported and queried."""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.sessions_arguments import (
    add_filter,
    add_limit,
    add_since,
    count,
    named,
    pattern,
    wanted,
)
from airouter.cli.subcommands import Subcommand, path
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.index.rows import COLUMNS
from airouter.sessions.find import EMPTY, NoSessions, Requests
from airouter.settings.load import ROOT, load_settings
from airouter.settings.server import Logging


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="sessions_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help)
        added.add_argument(
            "--log-dir",
            type=path,
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
        _say(f"{error.filename or 'the output'}: {error.strerror}.")
        return 1
    except KeyboardInterrupt:
        return 0 if args.sessions_command == "tail" else 130
    finally:
        if previous is signal.SIG_DFL:
            signal.signal(signal.SIGINT, previous)


# The subcommands. JSON is written with everything but ASCII escaped: a terminal would obey some of
# it. They import what they need: rich and numpy take their time, and DuckDB is
# optional.


def _add_list(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    add_limit(parser)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")


def _list(args: argparse.Namespace) -> int:
    from airouter.sessions import listing

    requests = Requests(_log_dir(args))
    if args.json:
        return _json_lines(requests, args, "-at")
    rows = list(requests.rows(wanted(args), columns=listing.COLUMNS, order="-at", limit=args.limit))
    return _table(listing.listed, rows, requests)


def _add_slow(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    add_limit(parser)
    parser.add_argument(
        "--over", type=count, default=0.0, metavar="MS", help="only those that took longer"
    )


def _slow(args: argparse.Namespace) -> int:
    from airouter.sessions import listing
    from airouter.sessions.terminal import progress

    requests = Requests(_log_dir(args))
    with progress("requests") as advance:
        rows = list(
            requests.rows(
                wanted(args),
                columns=listing.COLUMNS,
                order="-total_ms",
                limit=args.limit,
                progress=advance,
            )
        )
    return _table(listing.slowest, [one for one in rows if one["total_ms"] > args.over], requests)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "session", type=named, metavar="ID|FILE", help="first 8 characters of the id, or a file"
    )
    parser.add_argument("--json", action="store_true", help="the session file itself")


def _show(args: argparse.Namespace) -> int:
    from airouter.sessions.files import Files
    from airouter.sessions.show import find, shown_session
    from airouter.sessions.terminal import out

    document, others = find(Files(_log_dir(args)), *args.session)
    if args.json:
        print(json.dumps(document, indent=2))
        return 0
    console = out()
    for part in shown_session(document):
        console.print(part)
    if others:
        _say(f"{others} older sessions begin with this id, too; name the file to see one.")
    return 0


def _add_tail(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    parser.add_argument(
        "--lines", type=count, default=10, metavar="N", help="of earlier sessions (default: 10)"
    )


def _tail(args: argparse.Namespace) -> int:
    from airouter.sessions.files import Files
    from airouter.sessions.listing import follow
    from airouter.sessions.terminal import out

    console, files = out(), Files(_log_dir(args))
    if not files.names():
        _say(f"There are no sessions in {files.folder} yet; each is shown when it ends.")
    for line in follow(files, wanted(args), args.lines, Clock().sleep):
        console.print(line, soft_wrap=True)
        sys.stdout.flush()
    return 0


def _add_grep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", type=pattern, help="regular expression")
    parser.add_argument("-i", "--ignore-case", action="store_true")
    add_since(parser)


def _grep(args: argparse.Namespace) -> int:
    from airouter.sessions.files import Files
    from airouter.sessions.grep import heading, search
    from airouter.sessions.terminal import out, progress

    log_dir = _log_dir(args)
    files, console, found = Files(log_dir), out(), 0
    if not files.names():
        raise NoSessions(EMPTY.format(log_dir))
    expression = re.compile(args.pattern.pattern, re.IGNORECASE if args.ignore_case else 0)
    with progress("sessions") as advance:
        for document, lines in search(files, expression, args.since, advance):
            found += 1
            for line in (heading(document), *lines):
                console.print(line, soft_wrap=True)
    _say_skipped(files.skipped)
    if not found:
        _say("Nothing was found.")
    return 0 if found else 1


def _add_stats(parser: argparse.ArgumentParser) -> None:
    add_filter(parser)
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _stats(args: argparse.Namespace) -> int:
    from airouter.sessions import stats
    from airouter.sessions.terminal import out, progress

    requests = Requests(_log_dir(args))
    _say_source(requests)
    with progress("requests") as advance:
        made = stats.collect(
            requests.rows(wanted(args), columns=stats.COLUMNS, order="rowid", progress=advance)
        )
    if args.json:
        print(json.dumps(stats.as_json(made), indent=2))
    else:
        console = out()
        for part in stats.printed(made, requests.source):
            console.print(part)
    _say_skipped(requests.files.skipped)
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_mutually_exclusive_group(required=True)
    formats.add_argument("--csv", type=path, metavar="FILE", help="write CSV")
    formats.add_argument("--parquet", type=path, metavar="FILE", help="write Parquet (DuckDB)")
    add_filter(parser)


def _export(args: argparse.Namespace) -> int:
    from airouter.sessions.export import to_csv, to_parquet
    from airouter.sessions.terminal import progress

    requests = Requests(_log_dir(args))
    _say_source(requests)
    with progress("requests") as advance:
        rows = requests.rows(wanted(args), progress=advance)
        written = to_csv(args.csv, rows) if args.csv else to_parquet(args.parquet, rows)
    print(f"Written: {args.csv or args.parquet}, {written:,} requests")
    _say_skipped(requests.files.skipped)
    return 0


def _add_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "statement", help="on requests, backend_events, slo_events (the index) and sessions"
    )
    add_limit(parser, 100)
    parser.add_argument("--json", action="store_true", help="a JSON object per line")


def _sql(args: argparse.Namespace) -> int:
    from airouter.sessions import sql
    from airouter.sessions.terminal import out, progress, shown, table

    with progress("requests") as advance:
        result = sql.run(_log_dir(args), args.statement, args.limit, advance)
    if args.json:
        for one in result.rows:
            print(json.dumps(dict(zip(result.columns, one, strict=True))))
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
    for one in requests.rows(wanted(args), columns=COLUMNS, order=order, limit=args.limit):
        print(json.dumps(one))
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


COMMANDS = {
    "list": Subcommand("the newest requests", _add_list, _list),
    "show": Subcommand("one session: its timeline and messages", _add_show, _show),
    "tail": Subcommand("sessions as they end, until Ctrl-C", _add_tail, _tail),
    "slow": Subcommand("the slowest requests, and what took longest", _add_slow, _slow),
    "grep": Subcommand("search questions and answers", _add_grep, _grep),
    "stats": Subcommand("counts, times, tokens, speculation", _add_stats, _stats),
    "export": Subcommand("requests as CSV or Parquet", _add_export, _export),
    "sql": Subcommand("query requests and sessions with DuckDB", _add_sql, _sql),
}
