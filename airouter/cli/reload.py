"""Have a running router take up its changed configuration file."""

import os

from airouter.cli.ask import ask
from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.summary import base_url
from airouter.errors import ConfigError
from airouter.load_settings import load_settings

_LIMIT = 30.0


def reload() -> int:
    """By /admin/reload and not by SIGHUP: the router validates with its own environment, and a mistake changes nothing.

    Raises:
        ConfigError: no router answers, or it did not take up the configuration.
    """
    environ = dict(os.environ)
    if nothing_configured(
        environ
    ):  # as `run` does, whose simulator's addresses only the running router knows
        environ |= placeholders()
    settings = load_settings(environ)
    answer = ask(settings.server, "/admin/reload", _LIMIT, "POST", settings.server.admin_key)
    if answer is None:
        raise ConfigError(
            f"No router answers at {base_url(settings)}; start it, or say where it is by HOST and PORT."
        )
    status, body = answer
    if status != 200:
        error = body.get("error")
        raise ConfigError(
            str(error.get("message"))
            if isinstance(error, dict)
            else f"{base_url(settings)} answered with status {status}."
        )
    print(
        "The router has taken up the configuration; answers under way are finished by the old one."
    )
    return 0
