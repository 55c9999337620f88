"""The scripts behind `make`, with a stand-in for Python: no environment is made, nothing is
installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
TOOLS = (
    "sh",
    "bash",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "find",
    "grep",
    "id",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "tail",
    "tee",
    "awk",
)

# Answers what the scripts ask a Python for; what it installs or runs goes to calls.txt. `$FAIL` is
# what fails.
STAND_IN = f"""#!/bin/sh
real='{sys.executable}'
case "$*" in
    "-m venv --clear"*) rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "--version") echo "Python 3.12.0" ;;
    *"import pip"*) [ -z "$NO_PIP" ] ;;
    *"import ensurepip"*) [ "$FAIL" != ensurepip ] ;;
    *version_info*) [ "$FAIL" != version ] && exec "$real" "$@" ;;
    *sys.version*) echo "${{VERSION:-3.12.0}}" ;;
    *) echo "$*" >>calls.txt
       case "$*" in *"-m tools"*) echo "${{CLOSING_TOOLS:-2 passed in 0.10s}}" ;;
           *pytest*) echo "${{CLOSING:-3 passed in 0.12s}}" ;; esac
       case "$*" in *"${{FAIL:-nothing}}"*) exit 3 ;; esac ;;
esac
"""


NEW_PIP = "pip>=26"  # what is installed before anything else; of no interest to most tests
TOOL_TESTS = "-m pytest -n auto --dist loadfile -m tools"
TESTS = "-m pytest -n auto --dist loadfile --no-loadscope-reorder -m not tools"


class Checkout:
    """A copy of the scripts in a folder with a space in its name, where `python3.12` is the
    stand-in."""

    def __init__(self, folder):
        self.root = folder / "a checkout"
        self.tools = folder / "tools"
        self.tools.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.tools / tool).symlink_to(found)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in (
            "Makefile",
            "Benchmark",
            ".ci/run",
            "requirements.txt",
            "requirements-dev.txt",
        ):
            (self.root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.add_python("python3.12")

    def add_python(self, name, text=STAND_IN):
        path = self.tools / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *command, **environ):
        return subprocess.run(
            command, cwd=self.root, env={"PATH": str(self.tools)} | environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def script(self, name, *arguments, **environ):
        return self.run("sh", f"scripts/{name}.sh", *arguments, **environ)

    def calls(self):
        """What Python was asked to do since the last look."""
        path = self.root / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if not line.endswith(NEW_PIP)]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def sentence(result):
    """The one sentence on stderr of a failure that was foreseen."""
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


# venv.sh ------------------------------------------------------------------------------------------


def test_venv_is_made_once(checkout):
    first = checkout.script("venv")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [
        "Making .venv with Python 3.12.0 …",
        "Installing what requirements.txt names (a minute or two the first time) …",
    ]
    assert [call.rsplit(None, 2)[1:] for call in checkout.calls()] == [["-r", "requirements.txt"]]
    second = checkout.script("venv")
    assert (second.returncode, second.stdout, checkout.calls()) == (0, "", [])


@pytest.mark.parametrize("fail", ["nothing", NEW_PIP])
def test_a_newer_pip_comes_first_where_there_is_one(checkout, fail):
    assert checkout.script("venv", FAIL=fail).returncode == 0
    first, *others, last = (checkout.root / "calls.txt").read_text().splitlines()
    assert first.startswith("-m pip --python .venv/bin/python install ")
    assert first.endswith(NEW_PIP)
    # Where the interpreter has no pip that can do it, the environment's own is asked.
    assert [call.endswith(NEW_PIP) for call in others] == ([] if fail == "nothing" else [True])
    assert last.endswith("-r requirements.txt")


def test_dev_includes_what_the_router_needs(checkout):
    assert checkout.script("venv", "dev").returncode == 0
    assert "-r requirements-dev.txt" in checkout.calls()[0]
    assert checkout.script("venv").stdout == ""
    assert checkout.calls() == []


def test_router_alone_does_not_satisfy_dev(checkout):
    checkout.script("venv")
    checkout.calls()
    checkout.script("venv", "dev")
    assert "-r requirements-dev.txt" in checkout.calls()[0]


@pytest.mark.parametrize("argument", ["", "dev"])
def test_changed_requirements_are_installed(checkout, argument):
    arguments = [argument] if argument else []
    checkout.script("venv", *arguments)
    checkout.calls()
    with (checkout.root / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert "Making" not in checkout.script("venv", *arguments).stdout
    assert len(checkout.calls()) == 1


def test_another_python_version_installs_again(checkout):
    checkout.script("venv")
    checkout.calls()
    checkout.script("venv", VERSION="3.12.1")
    assert len(checkout.calls()) == 1


def test_failed_installation_is_tried_again(checkout):
    failed = checkout.script("venv", FAIL="pip install")
    assert "network" in sentence(failed)
    checkout.calls()
    assert checkout.script("venv").returncode == 0
    assert len(checkout.calls()) == 1


def test_incomplete_environment_is_made_anew(checkout):
    (checkout.root / ".venv" / "lib").mkdir(parents=True)
    assert "Making .venv" in checkout.script("venv").stdout
    assert "Making .venv" in checkout.script("venv", NO_PIP="1").stdout


def test_dangling_python_in_the_environment(checkout):
    (checkout.root / ".venv" / "bin").mkdir(parents=True)
    (checkout.root / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    assert checkout.script("venv").returncode == 0


def test_missing_venv_module_is_named(checkout):
    assert "install python3-venv" in sentence(checkout.script("venv", FAIL="ensurepip"))


def test_no_fitting_python(checkout):
    assert "No Python 3.11, 3.12 or 3.13 was found" in sentence(
        checkout.script("venv", FAIL="version")
    )
    (checkout.tools / "python3.12").unlink()
    assert "No Python 3.11, 3.12 or 3.13 was found" in sentence(checkout.script("venv"))


def test_python_that_does_not_run_is_passed_over(checkout):
    checkout.add_python("python3.13", "#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    assert checkout.script("venv").returncode == 0


def test_chosen_python_is_used_and_must_fit(checkout):
    old = checkout.add_python("old", "#!/bin/sh\nexit 1\n")
    assert f"PYTHON={old} is not a Python 3.11, 3.12 or 3.13" in sentence(
        checkout.script("venv", PYTHON=str(old))
    )
    mine = checkout.add_python("mine")
    (checkout.tools / "python3.12").unlink()
    assert checkout.script("venv", PYTHON=str(mine)).returncode == 0


def test_unknown_argument(checkout):
    assert "usage" in sentence(checkout.script("venv", "everything"))


# The others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "call", "requirements"),
    [
        ("run", (), "-m airouter run", "requirements.txt"),
        ("serve", (), "-m airouter serve", "requirements.txt"),
        ("reload", (), "-m airouter reload", "requirements.txt"),
        ("test", ("-k", "name"), f"{TESTS} -k name", "requirements-dev.txt"),
        ("test-quick", ("-x",), "-m pytest -m quick -x", "requirements-dev.txt"),
        ("test-tools", (), TOOL_TESTS, "requirements-dev.txt"),
        ("bench", ("profile",), "-m bench profile", "requirements-dev.txt"),
        ("bench", ("profile", "--quick"), "-m bench profile --quick", "requirements-dev.txt"),
        ("bench", ("--quick",), "-m bench all --quick", "requirements-dev.txt"),
        ("bench", ("routing", "--quick"), "-m bench routing --quick", "requirements-dev.txt"),
    ],
)
def test_script_makes_the_environment_and_runs(checkout, script, arguments, call, requirements):
    assert checkout.script(script, *arguments).returncode == 0
    installed, ran = checkout.calls()
    assert installed.endswith(f"-r {requirements}")
    assert ran == call


def test_script_stops_where_the_environment_cannot_be_made(checkout):
    sentence(checkout.script("run", FAIL="pip install"))
    assert len(checkout.calls()) == 1


def test_script_works_from_any_folder(checkout, tmp_path):
    elsewhere = subprocess.run(
        ["sh", checkout.root / "scripts" / "serve.sh"],
        cwd=tmp_path,
        env={"PATH": str(checkout.tools)},
        timeout=60,
        check=False,
    )
    assert elsewhere.returncode == 0
    assert checkout.calls()[-1] == "-m airouter serve"


def test_check_runs_everything_and_names_what_failed(checkout):
    result = checkout.script("check", FAIL="ruff check")
    assert result.returncode == 1
    assert len(checkout.calls()) == 1 + 4
    assert result.stderr == "Failed: ruff check\n"
    assert checkout.script("check").stdout.endswith("All checks passed.\n")


@pytest.mark.parametrize(
    ("fails", "status"), [(None, 0), ("-m not tools", 3), ("coverage report", 1)]
)
def test_coverage_is_summed_up_whatever_the_tests_say(checkout, fails, status):
    """Failed tests fail it, and so does a total below the goal; the data is removed."""
    environ = {"FAIL": fails} if fails else {}
    folder = checkout.root / "tmp"
    folder.mkdir()
    result = checkout.script("coverage", "-k", "name", TMPDIR=str(folder), **environ)
    assert result.returncode == status
    assert checkout.calls()[1:] == [
        f"-m coverage run {TESTS} -k name",
        "-m coverage combine --quiet",
        "-m coverage report --sort=-brpart",
    ]
    assert list(folder.iterdir()) == []


def test_clean_leaves_logs_and_sources(checkout):
    checkout.script("venv")
    for folder in (".mypy_cache", "airouter/__pycache__", "logs"):
        (checkout.root / folder).mkdir(parents=True)
    assert checkout.script("clean").returncode == 0
    left = {path.name for path in checkout.root.iterdir()}
    assert {"logs", "scripts", "airouter"} <= left
    assert not {".venv", ".mypy_cache"} & left
    assert not list((checkout.root / "airouter").iterdir())


@pytest.mark.parametrize("make", [True, False], ids=["make", "no make"])
@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, 0),
        ({"FAIL": "-m mypy"}, 1),
        ({"FAIL": "-m pytest", "CLOSING": "1 failed, 2 passed in 0.34s"}, 1),
        ({"FAIL": "-m not tools", "CLOSING": "1 failed, 2 passed in 0.34s"}, 1),
        ({"FAIL": TOOL_TESTS, "CLOSING_TOOLS": "1 failed, 1 passed in 0.20s"}, 1),
    ],
)
def test_ci_ends_with_the_closing_line_of_pytest(checkout, make, environ, status):
    found = shutil.which("make")
    if make and not found:
        pytest.skip("no make here")
    if make:
        (checkout.tools / "make").symlink_to(found)
    checkout.add_python("python3")
    result = checkout.run("./.ci/run", **environ)
    assert result.returncode == status, result.stdout + result.stderr
    failed = environ.get("CLOSING_TOOLS", environ.get("CLOSING"))
    assert result.stdout.splitlines()[-1] == (failed or "3 passed in 0.12s")
    ran = [call for call in checkout.calls() if "-m pytest" in call]
    assert [ran[0], ran[2]] == [TOOL_TESTS, TESTS]
    assert "tests/failover" in ran[1]  # with a thread per request


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_is_posix_and_executable(script):
    text = script.read_text()
    assert text.startswith("#!/bin/sh\n# ")
    assert "set -eu" in text
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], timeout=20, check=False).returncode == 0


def test_make_lists_every_target_and_each_has_its_script(checkout):
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", text, re.M)
    assert set(re.findall(r"^\.PHONY: (.*)$", text, re.M)[0].split()) == set(targets)
    for script in re.findall(r"@sh (\S+)", text):
        assert (ROOT / script).is_file(), script
    if make := shutil.which("make"):
        listed = checkout.run(make).stdout
        assert [line.split()[1] for line in listed.splitlines()] == targets
