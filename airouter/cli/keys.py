"""`keys`: adds, lists and revokes keys of clients, in the file `keys_file`."""

import argparse
import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import ValidationError

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.subcommands import Subcommand
from airouter.cli.summary import table
from airouter.domain.errors import ConfigError
from airouter.domain.keys import DEFAULT, DEFAULT_SCOPES, SCOPES
from airouter.settings.keys import KeySettings, read_keys, wrong_id
from airouter.settings.load import load_settings
from airouter.settings.schema import Settings

_PREFIX = "air_"  # so that people and scanners recognise a key
_BYTES = 32  # of randomness
_HEAD = "# Keys of clients, by their SHA-256; written by `python -m airouter keys`.\n"
_RELOAD = "A running router applies it after `python -m airouter reload`."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="keys_command", required=True, metavar="SUBCOMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help))


def run(args: argparse.Namespace) -> int:
    """Run a subcommand; returns the exit status.

    Raises:
        ConfigError: the configuration is not valid, the id is wrong, or the file cannot be written.
    """
    return COMMANDS[args.keys_command].run(args)


def _add_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a name for the key")
    parser.add_argument(
        "--scopes",
        default="chat",
        metavar="SCOPE,…",
        help=f"what it allows: {', '.join(SCOPES)} (default: chat)",
    )
    parser.add_argument("--rpm", type=int, metavar="N", help="requests per minute (default: any)")
    parser.add_argument(
        "--tenant",
        action="append",
        default=[],
        metavar="NAME",
        help="a tenant for which it may call /map; may be repeated (default: all)",
    )


def _add(args: argparse.Namespace) -> int:
    settings = _settings()
    if why := wrong_id(args.id):
        raise ConfigError(f"{args.id!r}: {why}.")
    if args.id in settings.keys:
        raise ConfigError(f"There is a key {args.id!r} already; revoke it, or choose another id.")
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    try:
        made = KeySettings(
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            scopes=tuple(scope.strip() for scope in args.scopes.split(",")),  # type: ignore[misc]
            tenants=tuple(args.tenant),
            requests_per_minute=args.rpm,
        )
    except ValidationError as error:
        raise ConfigError(_first(error)) from None
    _write(settings.keys_file, read_keys(settings.keys_file) | {args.id: made})
    print(key)  # nothing else on stdout, so that a script can take it
    _say(f"This is the key {args.id!r}. It is not shown again: only its SHA-256 is kept.")
    if not settings.keyed:
        _say("It is the first key: with it, all clients of the router need one.")
    _say(_RELOAD)
    return 0


def _list(_args: argparse.Namespace) -> int:
    settings = _settings()
    file = read_keys(settings.keys_file)
    rows = [("ID", "SCOPES", "TENANTS", "PER MINUTE", "IN")]
    if settings.server.api_key is not None:
        scopes = ", ".join(scope for scope in SCOPES if scope in DEFAULT_SCOPES)
        rows.append((DEFAULT, scopes, "all", "any", "API_KEY"))
    for name, key in settings.keys.items():
        limit = "any" if key.requests_per_minute is None else str(key.requests_per_minute)
        tenants = ", ".join(key.tenants) or "all"
        where = settings.keys_file.name if name in file else "router.yaml"
        rows.append((name, ", ".join(key.scopes), tenants, limit, where))
    print(table(rows) if len(rows) > 1 else "There are no keys.")
    return 0


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the name of the key")


def _revoke(args: argparse.Namespace) -> int:
    settings = _settings()
    keys = read_keys(settings.keys_file)
    if args.id not in keys:
        if args.id in settings.keys:
            raise ConfigError(
                f"The key {args.id!r} is in the configuration file; remove it there, below `keys`."
            )
        raise ConfigError(f"There is no key {args.id!r} in {settings.keys_file}.")
    del keys[args.id]
    _write(settings.keys_file, keys)
    print(f"The key {args.id!r} is revoked. {_RELOAD}")
    return 0


def _settings() -> Settings:
    environ = dict(os.environ)
    if nothing_configured(environ):  # `make run` starts a simulator, whose addresses it knows
        environ |= placeholders()
    return load_settings(environ)


def _write(path: Path, keys: Mapping[str, KeySettings]) -> None:
    """Replace the file at once, so that a router never reads half of it; its owner only may read
    it.

    Raises:
        ConfigError: it cannot be written.
    """
    content = {
        name: {setting: value for setting, value in key.model_dump(mode="json").items() if value}
        for name, key in keys.items()
    }
    fresh = ""
    try:
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 600
        with open(handle, "w", encoding="utf-8") as file:
            file.write(_HEAD + (yaml.safe_dump(content, sort_keys=False) if content else ""))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(fresh)
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None


def _first(error: ValidationError) -> str:
    """The first mistake in what was asked for, as a sentence."""
    each = error.errors(include_url=False, include_input=False)[0]
    option = {"scopes": "--scopes", "tenants": "--tenant", "requests_per_minute": "--rpm"}
    text = each["msg"].removeprefix("Value error, ")
    return f"{option[str(each['loc'][0])]}: {text[:1].lower()}{text[1:]}."


def _say(sentence: str) -> None:
    print(f"ai-router: {sentence}", file=sys.stderr)


def _nothing(_parser: argparse.ArgumentParser) -> None: ...


COMMANDS = {
    "add": Subcommand("make a key, and print it once", _add_add, _add),
    "list": Subcommand("ids, scopes and limits", _nothing, _list),
    "revoke": Subcommand("remove a key", _add_revoke, _revoke),
}
