"""`check-config`: what a configuration means, or all that is wrong with it."""

import os
import sys

from airouter.cli.embedded import nothing_configured, placeholders
from airouter.cli.launch import Check
from airouter.cli.summary import base_url, summary
from airouter.errors import ConfigError
from airouter.load_settings import load_settings


def check_config(check: Check) -> int:
    """The exit status: 0 if `make serve` would start with this configuration.

    Raises:
        ConfigError: it would not, and `make run` neither; with all mistakes.
    """
    environ = dict(os.environ)
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        if not nothing_configured(environ):
            raise
        simulated = load_settings(environ | placeholders())  # there may be other mistakes too
        check(simulated)
        print(f"ai-router: {error.message}", file=sys.stderr)
        print(
            "No backend is configured. `make run` would start the embedded simulator in their place"
            f" and listen on {base_url(simulated)}; `make serve` would not start."
        )
        return 1
    check(settings)
    print(summary(settings))
    return 0
