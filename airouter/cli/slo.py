"""`slo`: service level objectives as rules for Prometheus and for other tools, the number of pods
that a load needs, and a report on how the objectives were kept."""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.subcommands import Subcommand, path
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.index.reading import NAME
from airouter.settings.load import ROOT, load_settings
from airouter.settings.server import Logging
from airouter.settings.slo import SloSettings
from airouter.slo.export import openslo_yaml, sloth_yaml
from airouter.slo.load import PROFILES, load_profiles
from airouter.slo.objectives import Profile
from airouter.slo.rules import RUNBOOKS, rules_yaml
from airouter.slo.size import size

_MOST_DAYS = 366


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="slo_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help))


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status.

    Raises:
        ConfigError: a profile does not exist or is not valid.
    """
    return COMMANDS[args.slo_command].run(args)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    _add_profiles(parser)
    _add_runbooks(parser)


def _rules(args: argparse.Namespace) -> int:
    return _write(rules_yaml(_profiles(args), args.runbooks))


def _add_export(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_mutually_exclusive_group(required=True)
    formats.add_argument("--openslo", action="store_true", help="OpenSLO v1")
    formats.add_argument("--sloth", action="store_true", help="Sloth, prometheus/v1")
    _add_profiles(parser)
    _add_runbooks(parser)


def _export(args: argparse.Namespace) -> int:
    profiles = _profiles(args)
    return _write(openslo_yaml(profiles) if args.openslo else sloth_yaml(profiles, args.runbooks))


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rps", type=_positive, required=True, help="requests per second")
    parser.add_argument(
        "--p95", type=_positive, required=True, help="p95 of their duration, in seconds"
    )
    parser.add_argument(
        "--min", type=_count, default=2, metavar="PODS", help="least number of pods (default: 2)"
    )
    parser.add_argument(
        "--per-pod",
        type=_count,
        default=100,
        metavar="REQUESTS",
        help="requests in flight per pod (default: 100)",
    )


def _size(args: argparse.Namespace) -> int:
    needed = size(args.rps, args.p95, args.min, args.per_pod)
    flying = f"{needed.in_flight:g}"
    print(f"{args.rps:g} requests per second × {args.p95:g} s = {flying} requests in flight.")
    print(
        f"Pods: max({args.min}, ceil({flying} / {args.per_pod})) = {needed.pods}. Scale out before "
        "their CPUs are more than 70 % busy."
    )
    return 0


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_profiles(parser)
    parser.add_argument(
        "--days", type=_days, default=30, help="length of the period that ends now (default: 30)"
    )
    parser.add_argument(
        "--markdown", type=path, metavar="FILE", help="write the report as Markdown"
    )
    parser.add_argument("--html", type=path, metavar="FILE", help="write the report as HTML")
    parser.add_argument(
        "--index",
        type=path,
        metavar="FILE",
        help=f"the index of requests (default: {NAME} in logging.dir)",
    )


def _report(args: argparse.Namespace) -> int:
    # Imported here, because the other commands should not wait for numpy and rich.
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from airouter.slo import report_pages
    from airouter.slo.report import NoReport, make_report

    configured = _configured()
    profiles = _profiles(args, configured)
    console, tasks = Console(stderr=True), dict[str, TaskID]()
    shown = Progress(console=console, transient=True, disable=not console.is_terminal)

    def advance(what: str, share: float) -> None:
        if what not in tasks:
            tasks[what] = shown.add_task(what, total=1.0)
        shown.update(tasks[what], completed=share)

    try:
        with shown:
            report = make_report(
                args.index or configured.database,
                profiles,
                args.days,
                Clock().time(),
                zone=ZoneInfo(configured.zone) if configured.zone else None,
                urls=configured.urls,
                progress=advance,
            )
        for file, page in ((args.markdown, report_pages.markdown), (args.html, report_pages.html)):
            if file:
                file.write_text(page(report), encoding="utf-8")
                print(f"Written: {file}")
    except NoReport as error:
        print(f"ai-router: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ai-router: {error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    if args.markdown or args.html:
        return 0
    return _write(report_pages.terminal(report, Console()))


def _add_profiles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile",
        action="append",
        metavar="NAME",
        help=f"one of {', '.join(PROFILES)}; may be repeated (default: slo.profiles)",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help="scales the latency limits of the endpoints (default: slo.environment)",
    )


def _add_runbooks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runbooks",
        default=RUNBOOKS,
        metavar="URL",
        help=f"folder of the runbooks, for links in alerts (default: {RUNBOOKS})",
    )


def _profiles(
    args: argparse.Namespace, configured: "_Configured | None" = None
) -> tuple[Profile, ...]:
    slo = (configured or _configured()).slo
    names = dict.fromkeys(args.profile or slo.profiles)  # each once, in their order
    return load_profiles(tuple(names), slo.folder, args.environment or slo.environment)


class _Configured(NamedTuple):
    """What the subcommands need of the configuration. `urls`: of the backends, by name."""

    slo: SloSettings
    database: Path
    zone: str | None
    urls: dict[str, str]


def _configured() -> _Configured:
    """The configuration; where it cannot be loaded the defaults, because rules and reports are
    also made on machines on which no router runs."""
    environ = dict(os.environ)
    nothing = nothing_configured(environ)
    try:
        settings = load_settings(environ | placeholders() if nothing else environ)
    except ConfigError:
        print(
            "ai-router: the configuration is not valid, so the defaults apply; see check-config.",
            file=sys.stderr,
        )
        slo = SloSettings()
        slo = slo.model_copy(update={"folder": ROOT / slo.folder})
        return _Configured(slo, ROOT / Logging().dir / NAME, None, {})
    backends = {} if nothing else settings.backends
    urls = {name: backend.url for name, backend in backends.items() if backend.url}
    return _Configured(settings.slo, settings.logging.dir / NAME, settings.timezone, urls)


def _write(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`; Python would complain about it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _days(text: str) -> int:
    days = _count(text)
    if days > _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"{text} is more than {_MOST_DAYS} days")
    return days


COMMANDS = {
    "rules": Subcommand("write recording and alerting rules for Prometheus", _add_rules, _rules),
    "export": Subcommand("write the objectives for OpenSLO or Sloth", _add_export, _export),
    "size": Subcommand("the number of pods that a load needs", _add_size, _size),
    "report": Subcommand("how the objectives were kept, by the index", _add_report, _report),
}
