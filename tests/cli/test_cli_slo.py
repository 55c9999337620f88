"""`slo`: what its subcommands write, and the one sentence per mistake."""

import subprocess
import sys
import time
from contextlib import closing

import pytest
import yaml

from airouter.__main__ import main
from airouter.cli.slo import COMMANDS
from airouter.index.index import open_for_writing
from airouter.index.rows import INSERT
from airouter.settings.load import ROOT
from airouter.settings.slo import SloSettings
from airouter.slo.load import load_profiles
from airouter.slo.rules import rules_yaml
from tests.slo.index_of_30_days import row

FOLDER = ROOT / "config" / "slo"


def written(capsys, *arguments):
    assert main(["slo", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def groups(text):
    return {group["name"].removesuffix("-period") for group in yaml.safe_load(text)["groups"]}


def test_rules_are_those_of_the_default_profiles(bare, capsys):
    """No backend is configured here."""
    assert written(capsys, "rules") == rules_yaml(load_profiles(SloSettings().profiles, FOLDER))


def configure(bare, tmp_path, text):
    path = tmp_path / "router.yaml"
    path.write_text((ROOT / "config" / "router.yaml").read_text(encoding="utf-8") + text)
    bare.setenv("ROUTER_CONFIG", str(path))


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9"])
def test_profiles_and_environment_are_those_of_the_configuration(bare, capsys, tmp_path, url):
    bare.setenv("PRIMARY_URL", url)
    configure(bare, tmp_path, "\nslo: {profiles: ['001'], environment: production}\n")
    text = " ".join(written(capsys, "rules").split())
    assert "at most 480 ms" in text
    assert "slo-available" not in text
    assert "at most 800 ms" in " ".join(
        written(capsys, "rules", "--environment", "development").split()
    )


def test_objectives_are_in_the_configured_folder(bare, capsys, tmp_path):
    text = (FOLDER / "objectives-004.yaml").read_text(encoding="utf-8")
    (tmp_path / "objectives-own.yaml").write_text(text.replace("004", "own"))
    configure(bare, tmp_path, f"\nslo: {{profiles: [own], folder: {tmp_path}}}\n")
    assert "slo-available" in groups(written(capsys, "rules"))


def test_a_configuration_that_is_not_valid_is_said(bare, capsys):
    bare.setenv("PRIMARY_URL", "no URL")
    assert main(["slo", "rules", "--profile", "004"]) == 0
    printed = capsys.readouterr()
    assert "slo-available" in groups(printed.out)
    assert "the defaults apply" in printed.err


def test_rules_of_chosen_profiles(bare, capsys):
    only = groups(written(capsys, "rules", "--profile", "003"))
    assert "slo-failover-time" in only
    assert "slo-available" not in only
    both = groups(written(capsys, "rules", "--profile", "003", "--profile", "004"))
    assert both == only | groups(written(capsys, "rules", "--profile", "004"))


def test_a_profile_named_twice_is_written_once(bare, capsys):
    once = written(capsys, "rules", "--profile", "004")
    assert written(capsys, "rules", "--profile", "004", "--profile", "004") == once


def test_an_environment_changes_the_limits(bare, capsys):
    usual = written(capsys, "rules", "--profile", "001")
    assert "at most 800 ms" in " ".join(usual.split())
    tight = written(capsys, "rules", "--profile", "001", "--environment", "production")
    assert "at most 480 ms" in " ".join(tight.split())
    none = written(capsys, "rules", "--profile", "001", "--environment", "ci")
    assert "Slo001CoderP95BudgetBurn" in usual
    assert "Slo001CoderP95BudgetBurn" not in none


def test_links_lead_to_the_runbooks_of_ones_own(bare, capsys):
    text = written(capsys, "rules", "--profile", "004", "--runbooks", "https://wiki/books")
    assert "runbook_url: https://wiki/books/availability.md" in text
    assert "docs/runbooks" not in text
    assert "https://wiki/books/availability.md" in written(
        capsys, "export", "--sloth", "--profile", "004", "--runbooks", "https://wiki/books"
    )


def test_export_for_openslo(bare, capsys):
    documents = list(yaml.safe_load_all(written(capsys, "export", "--openslo")))
    names = {one["metadata"]["name"] for one in documents if one["kind"] == "SLO"}
    assert {"001-coder-p95", "mapper-p95", "available"} <= names


def test_export_for_sloth(bare, capsys):
    spec = yaml.safe_load(written(capsys, "export", "--sloth", "--profile", "004"))
    assert spec["version"] == "prometheus/v1"
    assert len(spec["slos"]) == 6


def test_size_says_how_many_pods(bare, capsys):
    assert written(capsys, "size", "--rps", "50", "--p95", "0.25") == (
        "50 requests per second × 0.25 s = 12.5 requests in flight.\n"
        "Pods: max(2, ceil(12.5 / 100)) = 2. Scale out before their CPUs are more than 70 % busy.\n"
    )
    more = ("size", "--rps", "50", "--p95", "0.25", "--min", "1", "--per-pod", "5")
    assert "Pods: max(1, ceil(12.5 / 5)) = 3." in written(capsys, *more)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rules", "--profile", "999"], "There is no profile '999'"),
        (["rules", "--profile", "001", "--environment", "moon"], "no environment 'moon'"),
    ],
)
def test_a_mistake_is_one_sentence(bare, capsys, arguments, part):
    assert main(["slo", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ai-router: ")
    assert printed.err.count("\n") == 1
    assert part in printed.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "SUBCOMMAND"),
        (["export"], "--openslo --sloth"),
        (["export", "--openslo", "--sloth"], "not allowed with"),
        (["size", "--rps", "50"], "--p95"),
        (["size", "--rps", "many", "--p95", "1"], "'many' is not a positive number"),
        (["size", "--rps", "nan", "--p95", "1"], "'nan' is not a positive number"),
        (["size", "--rps", "1", "--p95", "1", "--min", "0"], "'0' is not a positive whole number"),
        (["size", "--rps", "1", "--p95", "1", "--per-pod", "1.5"], "'1.5' is not a positive whole"),
        (["report", "--days", "0"], "'0' is not a positive whole number"),
        (["report", "--days", "367"], "367 is more than 366 days"),
    ],
)
def test_a_wrong_argument_is_explained(bare, capsys, arguments, part):
    with pytest.raises(SystemExit) as ended:
        main(["slo", *arguments])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert part in last


@pytest.fixture
def index(bare, tmp_path):
    """With an answered request, where the configuration says."""
    path = tmp_path / "logs" / "index.sqlite"
    with closing(open_for_writing(path)) as connection:
        connection.execute(INSERT, row(time.time() - 60, backend="<b>|near|"))
    return path


def test_a_report_is_printed(index, capsys):
    text = written(capsys, "report", "--days", "1", "--profile", "004")
    assert "primary-not-slow" in text
    assert "mapper-p95" not in text
    assert "<b>|near|" in text
    assert "\x1b" not in text


def test_files_are_those_of_the_directory_of_the_call(index, bare, tmp_path, capsys):
    bare.chdir(tmp_path)
    index.rename(tmp_path / "moved.sqlite")
    out = written(
        capsys, "report", "--index", "moved.sqlite", "--markdown", "r.md", "--html", "r.html"
    )
    assert out == f"Written: {tmp_path}/r.md\nWritten: {tmp_path}/r.html\n"
    assert "| &lt;b&gt;\\|near\\| |" in (tmp_path / "r.md").read_text(encoding="utf-8")
    assert '<td class="text">&lt;b&gt;|near|</td>' in (tmp_path / "r.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--index", "/missing/index.sqlite"], "There is no index of requests at /missing/index"),
        (["--html", "/missing/r.html"], "/missing/r.html: No such file or directory."),
        (["--profile", "999"], "There is no profile '999'"),
    ],
)
def test_a_report_that_cannot_be_made_is_one_sentence(index, capsys, arguments, part):
    assert main(["slo", "report", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("ai-router: ")
    assert part in printed.err


def test_a_reader_that_leaves_is_no_error(bare):
    """`slo rules | head`."""
    command = f"'{sys.executable}' -m airouter slo rules | head -n 1"
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.startswith("# Generated by")
    assert result.stderr == ""


def test_each_subcommand_has_a_help():
    assert {"rules", "export", "size", "report"} <= set(COMMANDS)
    assert all(command.help for command in COMMANDS.values())
