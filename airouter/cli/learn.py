"""`learn`: learns from the router's own sessions: examples, training, and which model is used."""

import argparse
import os
import sys
from datetime import datetime

from airouter.classify.tuned.head import digest_of_base
from airouter.classify.tuned.registry import Registry
from airouter.cli.embedded import load_without_backends
from airouter.cli.subcommands import Subcommand, path
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.learning.checks import LEAST, this_week
from airouter.learning.store import Store
from airouter.sessions.files import Files
from airouter.settings.schema import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="learn_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help))


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status.

    Raises:
        ConfigError: what is asked for cannot be done; the message is a sentence.
    """
    return COMMANDS[args.learn_command].run(args)


def _add_collect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-dir",
        type=path,
        metavar="DIR",
        help="directory with sessions/ (default: logging.dir)",
    )


def _collect(args: argparse.Namespace) -> int:
    from airouter.learning.collect import collect  # these take a while to import
    from airouter.sessions.terminal import progress, say

    settings = _settings()
    tuned, files = settings.cascade.tuned, Files(args.log_dir or settings.logging.dir)
    store = Store(tuned.dir)
    try:
        with progress("sessions") as advance:
            stored, left_out = collect(
                files, store, Clock().time(), tuned.max_age_days, tuned.max_examples, advance
            )
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}.") from None
    print(f"{stored:,} new examples; {_examples(store)}.")
    for why, number in left_out.most_common():
        say(f"Left out, {why}: {number:,}.")
    if files.skipped:
        say(f"Files that are no session files, or are truncated, were skipped: {files.skipped:,}.")
    return 0


def _train(_args: argparse.Namespace) -> int:
    from airouter.learning.train import train

    settings = _settings()
    tuned = settings.cascade.tuned
    trained = train(
        Store(tuned.dir), Registry(tuned.dir), settings.cascade.learned.model, Clock(), _say
    )
    found = trained.figures.as_json()
    print(
        f"On the newest {found['n']:,} examples it covers {found['coverage']:.1%} "
        f"(in service now: {found['coverage_in_service']:.1%}), agrees with the classifier in "
        f"{found['agreement']:.1%}, and is harmful in {found['harmful']:.1%} (at most "
        f"{found['harmful_upper']:.1%})."
    )
    if trained.refused:
        for reason in trained.refused:
            print(f"The gate refused the model {trained.name}: {reason}.")
        return 1
    print(f"The model {trained.name} passed the gate and is in shadow.{_off(settings)}")
    return 0


def _status(_args: argparse.Namespace) -> int:
    tuned = _settings().cascade.tuned
    store, registry = Store(tuned.dir), Registry(tuned.dir)
    state = registry.state()
    print(f"Examples: {_examples(store)}.")
    print(f"Tier: {'on' if tuned.enabled else 'off (cascade.tuned.enabled)'}.")
    for role, name in (("In service", state.service), ("In shadow", state.shadow)):
        print(f"{role}: {name or 'none'}{_problem(registry, name)}")
        if name is None:
            continue
        if name in state.drifted:
            print("  back in shadow since its live agreement fell; it cannot be promoted again")
        for (tier, result), number in sorted(store.shadow(name).items()):
            print(f"  in shadow, {tier} decided: {result} in {number:,}")
        week = this_week(store, name, Clock())
        if role == "In service":
            share = (
                f"{week.agreed / week.n:.1%} agree, {week.harmful} harmful" if week.n else "none"
            )
            print(f"  live checks within a week: {week.n} (judged from {LEAST} on), {share}")
    for name in registry.names():
        card = registry.card(name)
        gate, refused = card.get("gate", {}), card.get("refused", ["no card"])
        told = f"refused: {'; '.join(refused)}" if refused else "passed"
        print(
            f"{name}: coverage {gate.get('coverage', 0):.1%}, agreement "
            f"{gate.get('agreement', 0):.1%}, harmful {gate.get('harmful', 0):.1%}; {told}"
        )
    return 0


def _add_promote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the model (default: the one in shadow)")


def _promote(args: argparse.Namespace) -> int:
    settings = _settings()
    tuned = settings.cascade.tuned
    try:
        base = digest_of_base(settings.cascade.learned.model)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}.") from None
    name = Registry(tuned.dir).promote(args.name, base)
    print(f"The model {name} is in service: each worker uses it within a second.{_off(settings)}")
    return 0


def _rollback(_args: argparse.Namespace) -> int:
    name = Registry(_settings().cascade.tuned.dir).rollback()
    print(f"In service now: {name or 'no tuned model'}.")
    return 0


def _settings() -> Settings:
    return load_without_backends(os.environ)


def _examples(store: Store) -> str:
    count, first, last = store.span()
    if not count:
        return "none"
    days = " to ".join(f"{datetime.fromtimestamp(at):%Y-%m-%d}" for at in (first, last))
    return f"{count:,} in all, of {days}"


def _problem(registry: Registry, name: str | None) -> str:
    if name is not None:
        try:
            registry.open(name)
        except ConfigError as error:
            return f" (not used: {error.message})"
    return ""


def _off(settings: Settings) -> str:
    if settings.cascade.tuned.enabled and "tuned" in settings.cascade.tiers:
        return ""
    return " The tier is off: set cascade.tuned.enabled, and list it in cascade.tiers."


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _nothing(_parser: argparse.ArgumentParser) -> None: ...


COMMANDS = {
    "collect": Subcommand("add labelled examples from the sessions", _add_collect, _collect),
    "train": Subcommand("train a model, and run it in shadow if it passes", _nothing, _train),
    "status": Subcommand(
        "examples, models, what the shadow and the checks found", _nothing, _status
    ),
    "promote": Subcommand("put a model that passed the gate into service", _add_promote, _promote),
    "rollback": Subcommand("put the model before it into service again", _nothing, _rollback),
}
