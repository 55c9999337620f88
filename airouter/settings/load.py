"""Loads `Settings` from the YAML file and the environment. Each mistake is reported as one sentence
that names the setting and the correction; all mistakes are reported at once, one per line."""

import contextlib
import difflib
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from airouter.domain import clock
from airouter.domain.errors import ConfigError
from airouter.settings.keys import read_keys
from airouter.settings.placeholders import RETIRED, Placeholders
from airouter.settings.schema import Settings
from airouter.settings.yaml_file import read_yaml

ROOT = Path(__file__).resolve().parents[2]

_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
    "": False,
}


def _text(value: str) -> str:
    return value


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _switch(value: str) -> bool | str:
    return _BOOLEANS.get(value.strip().lower(), value)


# Environment variable -> (setting, parser of its text).
ENVIRONMENT: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "ROUTER_URL": ("backends.router.url", _text),
    "ROUTER_MODEL": ("backends.router.model", _text),
    "PRIMARY_URL": ("backends.primary.url", _text),
    "PRIMARY_MODEL": ("backends.primary.model", _text),
    "XAI_API_URL": ("backends.xai.url", _text),
    "XAI_API_KEY": ("backends.xai.api_key", _text),
    "XAI_MODEL": ("backends.xai.model", _text),
    "XAI_MIN_MAX_TOKENS": ("backends.xai.min_max_tokens", _text),
    "XAI_SEARCH_TOOLS": ("enrichment.tools", _list),
    "VIRTUAL_MODEL": ("virtual_model", _text),
    "TZ": ("timezone", clock.zone_name),
    "LOG_DIR": ("logging.dir", _text),
    "LOG_LEVEL": ("logging.level", str.upper),
    "LOG_FORMAT": ("logging.format", str.lower),
    "CONSOLE": ("logging.console", _switch),
    "LOG_MAX_AGE_DAYS": ("logging.max_age_days", _text),
    "LOG_MAX_COUNT": ("logging.max_count", _text),
    "CONTENT_LOGGING": ("logging.content", _text),
    "INDEX": ("index.enabled", _switch),
    "TRACING_ENDPOINT": ("tracing.endpoint", _text),
    "API_KEY": ("server.api_key", _text),
    "ADMIN_KEY": ("server.admin_key", _text),
    "KEYS_FILE": ("keys_file", _text),
    "ALLOWED_HOSTS": ("server.allowed_hosts", _list),
    "CORS_ORIGINS": ("server.cors_origins", _list),
    "ALLOW_OPEN": ("server.allow_open", _switch),
    "HOST": ("server.host", _text),
    "PORT": ("server.port", _text),
    # After HOST and PORT, so that these take precedence: other programs set HOST, too.
    "AIROUTER_HOST": ("server.host", _text),
    "AIROUTER_PORT": ("server.port", _text),
    "WORKERS": ("server.workers", _text),
    "PIN": ("server.pin", _switch),
    "THREADS": ("server.threads", _text),
    "CASCADE_TIERS": ("cascade.tiers", _list),
    "SPECULATION": ("speculation.enabled", _switch),
    "MAPPER_SERVING_MODE": ("mapper.serving_mode", str.lower),
}
# Defaults of backends that are configured by environment variables alone.
_ENVIRONMENT_BACKENDS: Mapping[str, Mapping[str, Any]] = {
    "router": {"kind": "vllm"},
    "primary": {"kind": "vllm"},
    "xai": {"kind": "xai", "local": False},
}
# May also be read from a file: the path in <NAME>_FILE, or /run/secrets/<name in lower case>.
SECRETS = ("API_KEY", "ADMIN_KEY", "XAI_API_KEY")


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    secrets_dir: Path = Path("/run/secrets"),
) -> Settings:
    """Read and validate the configuration.

    Raises:
        ConfigError: one sentence per mistake, naming the setting and the correction; several
            mistakes are listed below a heading, one per line.
    """
    environ = os.environ if environ is None else environ
    path = file or configuration_file(environ)
    placeholders = Placeholders(environ, path.name)
    data = read_yaml(path, placeholders.fill)
    for setting in placeholders.refused:
        if not isinstance(setting[-1], int):  # of a list, all would be removed
            _remove(data, setting)
    used = placeholders.used  # setting -> the variable that set it
    mistakes = placeholders.mistakes
    for name, (target, read) in ENVIRONMENT.items():
        try:
            value = (_environment_value(name, environ, secrets_dir) or "").strip()
        except ConfigError as error:
            mistakes.append(error.message)
            value = "unreadable"  # counts as set, so that no error about a missing key follows
        if value and _is_usable(name, value):
            _put(data, target, read(value))
            used[target] = name
    _add_keys(data, mistakes)
    incomplete = any(map(_affects_others, placeholders.refused))
    settings = _validate(data, path, used, mistakes, incomplete=incomplete)
    if settings is None or mistakes:
        raise ConfigError(as_message(mistakes))
    return _with_absolute_paths(settings)


def _add_keys(data: dict[str, Any], mistakes: list[str]) -> None:
    """Add the keys of `keys_file` to `keys`."""
    path = data.get("keys_file", Settings.model_fields["keys_file"].default)
    own = data.get("keys") or {}
    if not isinstance(path, str | Path) or not isinstance(own, dict):
        return  # reported by the validation
    try:
        more = read_keys(ROOT / path)
    except ConfigError as error:
        mistakes += error.message.splitlines()
        return
    mistakes += [
        f"keys.{name} is in {Path(path).name}, too; remove one of them."
        for name in sorted(own.keys() & more.keys())
    ]
    if more:
        data["keys"] = {**more, **own}


_PLATFORM = re.compile(r"-conda-|-linux-(gnu|musl)|-apple-darwin")
_warned: set[tuple[str, str]] = set()


def _is_usable(name: str, value: str) -> bool:
    """Whether the router can use the value of a variable that other programs set, too. If not, it
    is ignored with a warning; the default is the safer choice (loopback, system time zone)."""
    why = None
    if name == "HOST" and not _resolves(value):  # conda sets x86_64-conda-linux-gnu
        why = "it is not an address of this machine; use AIROUTER_HOST, which takes precedence"
    elif name.endswith("PORT") and "://" in value:  # set by Kubernetes for a service "airouter"
        why = "it is a URL, not a port"
    elif name == "TZ" and not clock.is_time_zone(value):
        why = "it is not a time zone such as Europe/Berlin"
    if why is None:
        return True
    if (name, value) not in _warned:
        _warned.add((name, value))
        print(f"ai-router: {name}={value[:80]!r} is ignored: {why}.", file=sys.stderr)
    return False


def _resolves(host: str) -> bool:
    if _PLATFORM.search(host):  # no DNS lookup: a search domain may resolve any name
        return False
    try:
        socket.getaddrinfo(host.strip("[]"), None)
    except (OSError, UnicodeError):
        return False
    return True


def configuration_file(environ: Mapping[str, str]) -> Path:
    """The configuration file that an environment names."""
    return Path(environ.get("ROUTER_CONFIG", "").strip() or ROOT / "config" / "router.yaml")


def warn_of_retired(environ: Mapping[str, str]) -> None:
    """Print a warning if a variable that is no longer read is set, or named in the file."""
    placeholders = Placeholders(environ, "")
    with contextlib.suppress(ConfigError):  # loading the file reports it
        read_yaml(configuration_file(environ), placeholders.fill)
    named = any(RETIRED in names.split(", ") for names in placeholders.used.values())
    if named or environ.get(RETIRED, "").strip():
        print(
            f"ai-router: {RETIRED} is not read; the old Ollama host is decommissioned: name the "
            "backend's url in router.yaml, or use another variable.",
            file=sys.stderr,
        )


def check_address(settings: Settings) -> None:
    """Check that `server.host` can be resolved.

    Raises:
        ConfigError: it is neither an address nor a resolvable name.
    """
    if not _resolves(settings.server.host):
        raise ConfigError(
            f"server.host is {settings.server.host!r}, which is neither an IP address nor a host "
            "name that this machine can resolve; use an address such as 127.0.0.1 or 0.0.0.0."
        )


def misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Environment variables that look like a misspelt one of the router's: (name, likely meant).
    A guess: other programs may use similar names."""
    known = [*ENVIRONMENT, *(f"{name}_FILE" for name in SECRETS), "ROUTER_CONFIG"]
    for name in sorted(set(environ) - set(known)):
        if "_" in name and (close := difflib.get_close_matches(name, known, n=1, cutoff=0.88)):
            yield name, close[0]


def as_message(mistakes: Sequence[str]) -> str:
    """A single error as a sentence; several as a list below a heading."""
    if len(mistakes) == 1:
        return mistakes[0]
    return "\n  ".join((f"The configuration has {len(mistakes)} errors:", *mistakes))


def _validate(
    data: dict[str, Any],
    path: Path,
    used: Mapping[str, str],
    mistakes: list[str],
    *,
    incomplete: bool,
) -> Settings | None:
    """The settings; None if they are invalid, with the reasons added to `mistakes`.

    `incomplete`: whether an inconsistency may be caused by a value that was removed.

    Checks across settings run only on values that are valid by themselves: invalid ones are
    removed and the rest is validated again.
    """
    reported: set[tuple[int | str, ...]] = set()
    while True:
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        fresh = [
            each
            for each in found
            if each["loc"] not in reported and (each["loc"] or not incomplete)
        ]
        for each in fresh:
            mistakes += _sentences(each, path, used)
            reported.add(each["loc"])
            incomplete = incomplete or (
                each["type"] != "extra_forbidden" and _affects_others(each["loc"])
            )
        removed = [_remove(data, each["loc"]) for each in fresh]
        if not any(removed):
            return None


def _affects_others(loc: tuple[int | str, ...]) -> bool:
    """Whether checks across settings depend on the one at `loc`."""
    section, name = loc[:1], loc[-1:]
    if section == ("backends",):
        return len(loc) < 3 or name in (("api_key",), ("local",))
    return section in (("routes",), ("keys",)) or (
        section == ("server",) and (len(loc) < 2 or name in (("api_key",), ("allow_open",)))
    )


def _remove(data: dict[Any, Any], loc: tuple[int | str, ...]) -> bool:
    """Remove the value at `loc`, or its innermost existing parent; returns whether one existed."""
    for depth, name in enumerate(loc):
        below = data.get(name)
        if depth + 1 < len(loc) and isinstance(below, dict) and loc[depth + 1] in below:
            data = below
            continue
        if name in ("url", "urls") and below is not None:
            data[name] = "http://127.0.0.1:9"  # placeholder: the backend counts as configured
            return True
        return data.pop(name, data) is not data
    return False


def _with_absolute_paths(settings: Settings) -> Settings:
    """Resolve relative directories against the project's root, not the current directory."""

    def resolved(section: BaseModel, name: str) -> BaseModel:
        return section.model_copy(update={name: ROOT / getattr(section, name)})

    cascade = settings.cascade
    update = {
        "learned": resolved(cascade.learned, "model"),
        "encoder": resolved(cascade.encoder, "model"),
        "tuned": resolved(cascade.tuned, "dir"),
    }
    return settings.model_copy(
        update={
            "logging": resolved(settings.logging, "dir"),
            "cascade": cascade.model_copy(update=update),
            "slo": resolved(settings.slo, "folder"),
            "mapper": resolved(settings.mapper, "folder"),
            "prompts_dir": ROOT / settings.prompts_dir,
            "keys_file": ROOT / settings.keys_file,
        }
    )


def _environment_value(name: str, environ: Mapping[str, str], secrets_dir: Path) -> str | None:
    value = environ.get(name, "").strip()
    if value or name not in SECRETS:
        return value
    file = environ.get(f"{name}_FILE", "").strip()
    path = Path(file) if file else secrets_dir / name.lower()
    try:
        raw = path.read_bytes()
        return raw.decode(json.detect_encoding(raw)) or None  # some Windows editors write UTF-16
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: the file {path} is not UTF-8 text.") from None
    except OSError as error:
        if file:
            raise ConfigError(
                f"{name}_FILE: the file {file} cannot be read: {error.strerror}."
            ) from None
        return None


def _put(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    if parents[:1] == ["backends"] and parents[1] not in (data.get("backends") or {}):
        data.setdefault("backends", {})[parents[1]] = dict(_ENVIRONMENT_BACKENDS[parents[1]])
    for parent in parents:
        below = data.get(parent)
        if not isinstance(below, dict):
            below = data[parent] = {}
        data = below
    data[leaf] = value


def _sentences(first: ErrorDetails, path: Path, used: Mapping[str, str]) -> list[str]:
    """Pydantic's error for one value as sentences, one for each problem."""
    where = ".".join(str(part) for part in first["loc"])
    by_env = used.get(where) or next(
        (name for name, (target, _) in ENVIRONMENT.items() if target == where), None
    )
    source = (
        f"{path.name}: {where}" + (f" (environment: {by_env})" if by_env else "")
        if where
        else path.name
    )
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close else f"valid settings here: {', '.join(known)}."
        )
        return [f"{source} is not a setting; {hint}"]
    lines = first["msg"].removeprefix("Value error, ").splitlines()
    return [f"{source}: {line[:1].lower()}{_with_variables(line[1:], used)}." for line in lines]


def _with_variables(text: str, used: Mapping[str, str]) -> str:
    """The sentence with the environment variable added after each setting that it asks for."""
    names = {target: name for name, (target, _) in ENVIRONMENT.items()} | dict(used)
    for target, name in names.items():
        text = re.sub(rf"(set .*){re.escape(target)}\b(?!\.)", rf"\g<1>{target} ({name})", text)
    return text


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """The valid setting names in the section that contains the unknown one."""
    model: Any = Settings
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields and part in fields:
            model = _section_in(fields[part].annotation) or model
    return sorted(getattr(model, "model_fields", {}))


def _section_in(annotation: Any) -> Any:
    """The section that a setting is, or that its values are: a dict or list of sections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = map(_section_in, getattr(annotation, "__args__", ()))
    return next(filter(None, inside), None)
