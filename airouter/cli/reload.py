"""`reload`: makes a running router reload its configuration file."""

import os

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.router_client import ask
from airouter.cli.summary import base_url
from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings

_LIMIT = 30.0


def reload() -> int:
    """Reload by /admin/reload, not SIGHUP: the router validates the file with its own environment
    and reports errors.

    Raises:
        ConfigError: no router answers, or it rejected the configuration.
    """
    environ = dict(os.environ)
    if nothing_configured(environ):  # `make run` started a simulator, whose addresses it knows
        environ |= placeholders()
    settings = load_settings(environ)
    answer = ask(settings.server, "/admin/reload", _LIMIT, "POST", settings.server.admin_key)
    if answer is None:
        raise ConfigError(
            f"No router answers at {base_url(settings)}; start it, or set HOST and PORT to its "
            "address."
        )
    status, body = answer
    if status != 200:
        error = body.get("error")
        raise ConfigError(
            str(error.get("message"))
            if isinstance(error, dict)
            else f"{base_url(settings)} answered with status {status}."
        )
    print("Configuration reloaded; requests in flight finish with the previous configuration.")
    return 0
