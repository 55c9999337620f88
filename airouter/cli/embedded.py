"""The embedded simulator, which `run` starts if no backend is configured."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from airouter.cli.parent_death import end_with_parent
from airouter.domain.errors import ConfigError
from airouter.settings.load import ROOT, configuration_file, load_settings
from airouter.settings.placeholders import Placeholders
from airouter.settings.schema import Settings
from airouter.settings.yaml_file import read_yaml

_START_LIMIT = 20.0
_STOP_LIMIT = 5.0
_SETTINGS = ("PRIMARY_URL", "ROUTER_URL", "XAI_API_KEY", "XAI_API_KEY_FILE")
_MODELS = {"router": "simulated-router", "primary": "simulated-primary", "xai": "simulated-cloud"}


def nothing_configured(
    environ: Mapping[str, str], secrets_dir: Path = Path("/run/secrets")
) -> bool:
    """Whether no backend is configured at all, in the environment, as a secret or in the YAML file.

    An incomplete configuration does not count: simulated answers would hide the mistake.
    """
    if any(environ.get(name) for name in _SETTINGS) or (secrets_dir / "xai_api_key").exists():
        return False
    path = configuration_file(environ)
    try:
        data = read_yaml(path, Placeholders(environ, path.name).fill)
        backends = data["backends"].values()
    except (ConfigError, AttributeError, KeyError):
        return path.exists()  # loading it reports the error
    # A cloud counts as configured by its key: the shipped file contains its public URL. A URL whose
    # variable is not set is a mistake to be told.
    return not any(
        spec.get("api_key") or (spec.get("url") is not None and spec.get("local", True))
        for spec in backends
        if isinstance(spec, dict)
    )


def environment(urls: Mapping[str, str]) -> dict[str, str]:
    """The router's environment for the simulator's URLs."""
    return {
        "ROUTER_URL": urls["router"],
        "ROUTER_MODEL": _MODELS["router"],
        "PRIMARY_URL": urls["primary"],
        "PRIMARY_MODEL": _MODELS["primary"],
        "XAI_API_URL": urls["xai"],
        "XAI_MODEL": _MODELS["xai"],
        "XAI_API_KEY": "simulated",
    }


def placeholders() -> dict[str, str]:
    """Placeholder values to validate the configuration before the simulator runs."""
    return environment(dict.fromkeys(_MODELS, "http://127.0.0.1:9"))


def load_without_backends(environ: Mapping[str, str]) -> Settings:
    """The configuration for a command that calls no backend, so that none need be configured.

    Raises:
        ConfigError: it is invalid.
    """
    environ = dict(environ)
    return load_settings(environ | placeholders() if nothing_configured(environ) else environ)


class EmbeddedSimulator:
    """The simulator as a child process. Ends with the `with` block, or when this process dies."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "simulator", "--profile", "demo", "--die-with-parent"]
        for role, model in _MODELS.items():
            command += [f"--{role}-port", "0", f"--{role}-model", model]
        # A separate session: Ctrl-C must not stop it before the router has finished its requests.
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=end_with_parent(os.getpid()),
        )
        try:
            self.urls = self._addresses()
        except BaseException:
            self.stop()
            raise

    def _addresses(self) -> dict[str, str]:
        """The URLs by role, from the line of JSON that the simulator prints once it listens."""
        out = self._process.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            line = out.readline() if selector.select(_START_LIMIT) else ""
        try:
            return dict(json.loads(line))
        except ValueError:
            raise ConfigError(
                "The embedded simulator did not start (see above); set PRIMARY_URL to use a real "
                "backend instead."
            ) from None

    @property
    def ended(self) -> bool:
        """Whether the process has exited."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Stop the process; it is killed after 5 s."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_LIMIT)
        with contextlib.suppress(OSError):
            if self._process.stdout is not None:
                self._process.stdout.close()

    def __enter__(self) -> "EmbeddedSimulator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
