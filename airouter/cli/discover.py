"""`discover`: looks for model servers on this machine, and writes a configuration for them."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from airouter.cli.embedded import placeholders
from airouter.cli.subcommands import seconds
from airouter.discover.configuration import choose, write
from airouter.discover.ports import LIMIT, USUAL_PORTS, discover
from airouter.discover.servers import ModelServer
from airouter.doctor.propose import is_local
from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings

_LOOPBACK = "127.0.0.1"
_MOST_PORTS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    usual = ", ".join(map(str, USUAL_PORTS))
    parser.add_argument(
        "--ports",
        type=_ports,
        default=(),
        metavar="LIST",
        help=f"further ports, such as 8001,9000-9010 (always: {usual})",
    )
    parser.add_argument(
        "--host", default=_LOOPBACK, help=f"another machine of your network (default: {_LOOPBACK})"
    )
    # Absolute at once: commands run in the project's folder.
    parser.add_argument(
        "--output", type=lambda text: Path(text).absolute(), metavar="FILE", help="write to a file"
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--limit",
        type=seconds(60),
        default=LIMIT,
        metavar="SECONDS",
        help=f"for each port (default: {LIMIT:g})",
    )


def run(args: argparse.Namespace) -> int:
    """Look, choose and write; progress goes to standard error.

    Returns:
        The exit status: 0.

    Raises:
        ConfigError: nothing was found, no model answers chats, or the file cannot be written.
    """
    output: Path | None = args.output
    if output is not None and output.exists() and not args.force:
        raise ConfigError(f"{output} exists; --force replaces it.")
    host = _host(args.host)
    own = _own_port() if host in (_LOOPBACK, "localhost", "::1") else None
    ports = sorted({*USUAL_PORTS, *args.ports} - {own})
    tried = ", ".join(map(str, ports))
    _tell(f"Looking for model servers on {host}, ports {tried} …")
    servers = discover(host, ports, Clock(), args.limit, _tell_of)
    if not servers:
        raise ConfigError(
            f"no model server was found on {host}; tried the ports {tried}. Start one, e.g. "
            "`ollama serve` or `vllm serve MODEL`, name its port with --ports, or its machine with "
            "--host; `make run` needs none."
        )
    chosen = choose(servers)
    if "primary" not in chosen:
        raise ConfigError(
            f"no local chat model is listed by {', '.join(each.url for each in servers)}; load "
            "one, e.g. `ollama pull qwen3:8b`, and run this again."
        )
    text = write(servers, chosen)
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}.") from None
    _tell(f"Written to {output}. Check it: ROUTER_CONFIG={output} python -m airouter check-config")
    return 0


def _host(text: str) -> str:
    host = text.strip().strip("[]")
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host) or "://" in text:
        raise ConfigError(f"--host {text!r} is not a host name or an address, e.g. 192.168.1.20.")
    if not is_local(f"http://[{host}]" if ":" in host else f"http://{host}"):
        raise ConfigError(
            f"--host {host} is not in a private network, or cannot be resolved; "
            "`python -m airouter doctor URL` asks a single server anywhere."
        )
    return host


def _own_port() -> int:
    """The port of the configured router, which is not asked."""
    try:
        return load_settings(dict(os.environ) | placeholders()).server.port
    except ConfigError:  # which does not matter here: `discover` is for those without one
        return 8002


def _tell_of(port: int, found: ModelServer | None) -> None:
    if found is not None:
        models = len(found.models)
        what = "wants a key" if found.wants_key else f"{models} model{'s' * (models != 1)}"
        _tell(f"  {port}: {found.title}, {what}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ports(text: str) -> Sequence[int]:
    ports: list[int] = []
    for part in filter(None, map(str.strip, text.split(","))):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise argparse.ArgumentTypeError(f"{part!r} is neither a port nor a range of ports")
        low, high = int(first), int(last or first)
        if not 0 < low <= high <= 65535:
            raise argparse.ArgumentTypeError(f"{part!r}: ports are from 1 to 65535")
        if high - low + len(ports) >= _MOST_PORTS:
            raise argparse.ArgumentTypeError(f"these are more than {_MOST_PORTS} ports")
        ports += range(low, high + 1)
    return ports
