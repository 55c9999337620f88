"""`check-config`: shows the effective configuration, or all errors in it."""

import os
import sys

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.launch import Check
from airouter.cli.summary import base_url, summary
from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings, misspelt, warn_of_retired


def check_config(check: Check) -> int:
    """Validate the configuration and print what it means.

    Returns:
        The exit status: 0 if `make serve` would start with this configuration, 1 if only `make run`
        would.

    Raises:
        ConfigError: neither would start; the message lists all errors.
    """
    environ = dict(os.environ)
    for name, meant in misspelt(environ):
        print(
            f"ai-router: {name} is not a variable of the router; did you mean {meant}?",
            file=sys.stderr,
        )
    warn_of_retired(environ)
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        if not nothing_configured(environ):
            raise
        simulated = load_settings(environ | placeholders())  # reports any other errors
        check(simulated)
        print(f"ai-router: {error.message}", file=sys.stderr)
        print(
            "No backend is configured: `make run` would start the embedded simulator and listen on "
            f"{base_url(simulated)}; `make serve` would not start."
        )
        return 1
    check(settings)
    print(summary(settings))
    return 0
