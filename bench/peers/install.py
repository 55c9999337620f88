"""Gets the peers: each into a folder of its own below a scratch folder, once; what is there already
is used again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from bench.stand import Unavailable
from simulator.processes import end, printed, spawn

DEFAULT_SCRATCH = Path("~/.cache/ai-router-peers")
# Portkey's gateway answers streams with status 500 ("immutable") under newer versions of its HTTP
# server, which a plain `npm install` gets: its issue 1389. This is the newest that streams.
NODE_SERVER = "1.14.1"
SMG = "1.13.0"
_ADDRESS = re.compile(r"\b(?:https?|file)://\S+")


# Peers that are Python packages: what pip is asked for, and how long that takes.
_PYTHON = {
    "litellm": ("litellm[proxy]", "about 2 minutes"),
    "smg": (f"smg=={SMG}", "some seconds"),
}


class NotInstalled(Unavailable):
    """A gateway that cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a peer's program is."""

    program: Path
    version: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a peer gets into its folder: commands with their limits in seconds, run one after the
    other in that folder."""

    about: str
    commands: tuple[tuple[Sequence[str], float], ...]
    files: Mapping[str, str] = field(default_factory=dict)  # written before the commands run


def install(name: str, scratch: Path, say: Callable[[str], None]) -> Installed:
    """The peer, installed if it is not yet.

    Raises:
        NotInstalled: it cannot be had.
    """
    folder = scratch.expanduser().absolute() / name
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    if name == "nginx" and (system := shutil.which("nginx", path=path)):
        return Installed(Path(system), _nginx_version(Path(system)))
    done = folder / "installed"
    if not done.exists():
        plan = _plan(name, folder)
        say(f"{name}: {plan.about}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file, text in plan.files.items():
                (folder / file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise NotInstalled(f"{folder} cannot be written ({error.strerror})") from None
        for command, limit in plan.commands:
            _one(command, limit, folder, folder / "install.log")
        done.touch()
    found = _found(name, folder)
    if not found.program.exists():
        done.unlink(missing_ok=True)
        raise NotInstalled(f"{found.program.name} is missing after its installation")
    return found


def prepare(root: Path) -> None:
    """Have a checkout of ai-router make its .venv, or bring it up to date.

    Raises:
        NotInstalled: it is none, or that fails.
    """
    if not all((root / name).exists() for name in ("gunicorn.conf.py", "scripts/venv.sh")):
        raise NotInstalled(f"{root} is no checkout of ai-router")
    with tempfile.TemporaryDirectory(prefix="ai-router-against-") as folder:
        _one(("sh", "scripts/venv.sh"), 600, root, Path(folder, "install.log"))


def _plan(name: str, folder: Path) -> _Plan:
    if name in _PYTHON:
        python, takes = _PYTHON[name]
        pip = (folder / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check",
            "--no-input")  # fmt: skip
        return _Plan(
            f"pip install '{python}' into an environment of its own, {takes}",
            (
                ((sys.executable, "-m", "venv", str(folder)), 60),
                ((*map(str, pip), python), 600),
            ),
        )
    if name == "portkey":
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            raise NotInstalled("needs Node.js with npm, which is not installed")
        server = {"@hono/node-server": NODE_SERVER}
        wanted = {"@portkey-ai/gateway": "*", **server}
        package = {"private": True, "dependencies": wanted, "overrides": server}
        options = ("--no-audit", "--no-fund", "--no-progress", "--ignore-scripts")
        return _Plan(
            "npm install @portkey-ai/gateway, some seconds",
            (((npm, "install", *options), 300),),
            {"package.json": orjson.dumps(package).decode()},
        )
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NotInstalled("not installed, and no Debian package can be unpacked here")
    return _Plan(
        "Debian's package, unpacked, some seconds",
        ((("apt-get", "download", "nginx"), 60), (("sh", "-c", "dpkg -x nginx_*.deb ."), 30)),
    )


def _found(name: str, folder: Path) -> Installed:
    version = "unknown"
    if name in _PYTHON:
        for path in folder.glob(f"lib/python*/site-packages/{name}-*.dist-info"):
            version = path.name.split("-")[1].removesuffix(".dist")
        return Installed(folder / "bin" / name, version)
    if name == "portkey":
        package = folder / "node_modules" / "@portkey-ai" / "gateway"
        if (package / "package.json").exists():
            told = orjson.loads((package / "package.json").read_bytes())
            version = str(told.get("version", version))
        return Installed(package / "build" / "start-server.js", version)
    program = folder / "usr" / "sbin" / "nginx"
    return Installed(program, _nginx_version(program) if program.exists() else version)


def _nginx_version(program: Path) -> str:
    try:
        done = subprocess.run(
            [program, "-v"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"it cannot be started ({type(error).__name__})") from None
    return (done.stdout + done.stderr).strip().rpartition("/")[2] or "unknown"


def _one(command: Sequence[str], limit: float, folder: Path, log: Path) -> None:
    """One command with its limit in seconds; it does not outlive this process."""
    log.unlink(missing_ok=True)
    try:
        process = spawn(command, log, cwd=folder)
    except OSError as error:
        program = Path(command[0]).name
        raise NotInstalled(f"{program} cannot be started ({error.strerror})") from None
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"the installation was stopped after {limit:g} s") from None
    finally:
        status = end(process, signal.SIGTERM, limit=5)
    if status:
        raise NotInstalled(f"the installation ended with status {status}: {last_line(log)}")


def last_line(log: Path) -> str:
    """What a program said last, without addresses, at most 200 characters."""
    lines = [line.strip() for line in printed(log).splitlines() if line.strip()]
    return _ADDRESS.sub("…", lines[-1])[:200] if lines else "it said nothing"
