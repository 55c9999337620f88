"""From YAML file and environment to `Settings`. Any mistake ends in one sentence: where it is and what would be right."""

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from airouter.errors import ConfigError
from airouter.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

_TRUE = {
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
    return _TRUE.get(value.strip().lower(), value)


# Environment variable -> (path in the configuration, how its text is read).
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
    "TZ": ("timezone", _text),
    "LOG_DIR": ("logging.dir", _text),
    "LOG_LEVEL": ("logging.level", str.upper),
    "LOG_FORMAT": ("logging.format", str.lower),
    "LOG_MAX_AGE_DAYS": ("logging.max_age_days", _text),
    "LOG_MAX_COUNT": ("logging.max_count", _text),
    "CONTENT_LOGGING": ("logging.content", _text),
    "API_KEY": ("server.api_key", _text),
    "ADMIN_KEY": ("server.admin_key", _text),
    "ALLOWED_HOSTS": ("server.allowed_hosts", _list),
    "CORS_ORIGINS": ("server.cors_origins", _list),
    "ALLOW_OPEN": ("server.allow_open", _switch),
    "CORS_ORIGINS": ("server.cors_origins", _list),
    "HOST": ("server.host", _text),
    "PORT": ("server.port", _text),
    "WORKERS": ("server.workers", _text),
    "PIN": ("server.pin", _switch),
    "THREADS": ("server.threads", _text),
    "CASCADE_TIERS": ("cascade.tiers", _list),
    "SPECULATION": ("speculation.enabled", _switch),
}
# What a backend is that only the environment names.
_BORN_OF_ENVIRONMENT: Mapping[str, Mapping[str, Any]] = {
    "router": {"kind": "vllm"},
    "primary": {"kind": "vllm"},
    "xai": {"kind": "xai", "local": False},
}
# These may also come from a file: /run/secrets/<name in lower case>, or the path in <NAME>_FILE.
SECRETS = ("API_KEY", "ADMIN_KEY", "XAI_API_KEY")


def load_settings(
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    secrets_dir: Path = Path("/run/secrets"),
) -> Settings:
    """Read and validate the configuration.

    Raises:
        ConfigError: with one sentence that names the place and says what would be right.
    """
    environ = os.environ if environ is None else environ
    path = file or Path(environ.get("ROUTER_CONFIG") or ROOT / "config" / "router.yaml")
    data = _read_yaml(path)
    for name in sorted(ENVIRONMENT):
        value = _environment_value(name, environ, secrets_dir)
        if value:
            target, read = ENVIRONMENT[name]
            _put(data, target, read(value.strip()))
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_sentence(error, path)) from None
    return _anchored(settings)


def _anchored(settings: Settings) -> Settings:
    """Relative folders are meant from the project's root, whatever the current directory is."""
    logging = settings.logging.model_copy(update={"dir": ROOT / settings.logging.dir})
    learned = settings.cascade.learned.model_copy(
        update={"model": ROOT / settings.cascade.learned.model}
    )
    cascade = settings.cascade.model_copy(update={"learned": learned})
    return settings.model_copy(
        update={"logging": logging, "cascade": cascade, "prompts_dir": ROOT / settings.prompts_dir}
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"The configuration file {path} does not exist; set ROUTER_CONFIG to one that does."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigError(
            f"{path}{line} is not valid YAML: {getattr(error, 'problem', 'syntax error')}."
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must be a mapping of sections such as backends: and routes:.")
    return data


def _environment_value(name: str, environ: Mapping[str, str], secrets_dir: Path) -> str | None:
    value = environ.get(name)
    if value or name not in SECRETS:
        return value
    file = environ.get(f"{name}_FILE")
    path = Path(file) if file else secrets_dir / name.lower()
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if file:
            raise ConfigError(
                f"{name}_FILE names {file}, which cannot be read: {error.strerror}."
            ) from None
        return None


def _put(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    if parents[:1] == ["backends"] and parents[1] not in (data.get("backends") or {}):
        data.setdefault("backends", {})[parents[1]] = dict(_BORN_OF_ENVIRONMENT[parents[1]])
    for parent in parents:
        below = data.get(parent)
        if not isinstance(below, dict):
            below = data[parent] = {}
        data = below
    data[leaf] = value


def _sentence(error: ValidationError, path: Path) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    by_env = next((name for name, (target, _) in ENVIRONMENT.items() if target == where), None)
    source = (
        f"{path.name}: {where}" + (f" (or the environment's {by_env})" if by_env else "")
        if where
        else path.name
    )
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(known)}."
        return f"{source} is not a setting; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{source}: {message[:1].lower() + message[1:]}."


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """The setting names that exist where an unknown one was found."""
    model: Any = Settings
    for part in loc[:-1]:
        fields = getattr(model, "model_fields", None)
        if fields and part in fields:
            annotation = fields[part].annotation
            args = getattr(annotation, "__args__", ())
            # a dict of sections: its key is skipped, its value's model counts
            model = (
                annotation
                if not args
                else next(
                    (a for a in args if isinstance(a, type) and issubclass(a, BaseModel)), model
                )
            )
    return sorted(getattr(model, "model_fields", {}))
