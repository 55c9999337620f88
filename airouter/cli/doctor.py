"""`doctor`: asks backends what they can do, and what of the configuration does not fit."""

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace

import yaml
from pydantic import ValidationError

from airouter.cli.subcommands import seconds
from airouter.doctor.advise import Finding, advise
from airouter.doctor.examine import LIMIT, Report, examine, is_cloud
from airouter.doctor.propose import is_local, propose
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.domain.redaction import protect
from airouter.settings.load import ENVIRONMENT, load_settings
from airouter.settings.schema import BackendSettings, Settings

_MISSING = object()
_SERVER = "server"  # the name of a server that is not configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("url", nargs="?", metavar="URL", help="ask this server only")
    parser.add_argument("--yes", action="store_true", help="ask clouds, too; it costs a few cents")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--key-env", metavar="NAME", help="environment variable with the key of URL"
    )
    parser.add_argument(
        "--limit",
        type=seconds(3600),
        default=LIMIT,
        metavar="SECONDS",
        help=f"for each backend (default: {LIMIT:.0f})",
    )


def run(args: argparse.Namespace) -> int:
    """Ask, compare and print.

    Returns:
        The exit status: 1 if something that the configuration names cannot work.

    Raises:
        ConfigError: the configuration or the URL is not valid.
    """
    from rich.console import Console  # here: other commands do not need it

    from airouter.doctor.render import as_json, show

    settings, backends = _backends(args)
    protect(spec.api_key for spec in backends.values())
    skipped = _skipped(settings, backends, args)
    asked = {name: spec for name, spec in backends.items() if name not in skipped}
    if asked and sys.stderr.isatty():
        print(f"Asking {', '.join(asked)}: up to {args.limit:g} s.", file=sys.stderr)
    answers = examine(asked, Clock(), args.limit)
    reports = {
        name: answers[name] if name in answers else Report(skipped[name]) for name in backends
    }
    configuration: str | None = None
    if settings is not None:
        findings = [_with_variable(finding) for finding in advise(settings, reports)]
    else:
        configuration, findings = _proposal(backends[_SERVER], reports[_SERVER])
    if args.json:
        print(as_json(reports, findings, configuration))
    else:
        show(Console(highlight=False), reports, findings, configuration)
    return int(any(finding.level == "error" for finding in findings))


def _backends(
    args: argparse.Namespace,
) -> tuple[Settings | None, dict[str, BackendSettings]]:
    """The configuration, None if it does not name the URL that was given; and the backends to
    ask."""
    if args.url is None:
        settings = load_settings()
        return settings, settings.backends
    spec = _server(args.url, args.key_env)
    try:
        settings = load_settings()
    except ConfigError:
        return None, {_SERVER: spec}
    named = {name: each for name, each in settings.backends.items() if each.url == spec.url}
    return (settings, named) if named else (None, {_SERVER: spec})


def _server(url: str, key_env: str | None) -> BackendSettings:
    key = os.environ.get(key_env, "").strip() if key_env else None
    if key_env and not key:
        raise ConfigError(f"{key_env}, which --key-env names, is not set.")
    try:
        spec = BackendSettings.model_validate({"url": url, "api_key": key})
    except ValidationError as error:
        said = "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors())
        raise ConfigError(f"The URL or its key {said}.") from None
    if spec.url is None:
        raise ConfigError("The URL is empty.")
    return spec.model_copy(update={"local": is_local(spec.url)})


def _skipped(
    settings: Settings | None, backends: Mapping[str, BackendSettings], args: argparse.Namespace
) -> dict[str, str]:
    """The backends that are not asked, and why."""
    skipped: dict[str, str] = {}
    for name, spec in backends.items():
        if spec.url is None:
            skipped[name] = "it has no url"
        elif settings is not None and not settings.usable(name):
            skipped[name] = "it has no key"
        elif is_cloud(spec) and not (args.yes or _agreed(name, spec)):
            skipped[name] = "it is a cloud, and requests may cost money; --yes asks it"
    return skipped


def _agreed(name: str, spec: BackendSettings) -> bool:
    """Whether the operator, at a terminal, agrees to requests that may cost money."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(
        f"Send about 20 small requests to {name}, the cloud at {spec.url}? They cost a few cents "
        "at most. [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _with_variable(finding: Finding) -> Finding:
    """Says if an environment variable sets what is to be changed: it takes precedence."""
    for name, (setting, _) in ENVIRONMENT.items():
        value = yaml.safe_load(finding.yaml) if os.environ.get(name, "").strip() else None
        for key in setting.split("."):
            value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            return replace(finding, sentence=f"{finding.sentence} {name} sets it now.")
    return finding


def _proposal(spec: BackendSettings, report: Report) -> tuple[str, list[Finding]]:
    """A configuration for a server that none names, and why there is none."""
    assert spec.url is not None
    if report.skipped:
        return "", []
    configuration = propose(spec.url, report, local=spec.local, ca_file=spec.ca_file)
    if configuration:
        return configuration, []
    if report.has("embeddings") == "yes":
        kind = report.found["kind"].value or "openai"
        change = {"backends": {"embedding": {"kind": kind, "url": spec.url}}}
        sentence = "It answers no chat, but has embeddings; add it beside a backend that answers."
        add = yaml.safe_dump(change | {"embeddings": "embedding"}, sort_keys=False).rstrip()
        return "", [Finding("hint", _SERVER, sentence, add)]
    chat, models = report.found["chat"], report.found["models"]
    why = models.evidence if chat.evidence.startswith("not asked") else chat.evidence
    help_ = "; name the variable with its key by --key-env" if "key" in (
        chat.value, models.value,
    ) else ""  # fmt: skip
    return "", [Finding("error", _SERVER, f"It does not answer: {why}{help_}.")]
