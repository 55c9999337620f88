"""`check-config`: what it shows, and the one sentence per mistake."""

import re

import pytest

from airouter.__main__ import main
from airouter.settings.load import ENVIRONMENT, ROOT
from tests.cli.started import EXAMPLES, PRIMARY, configure


def test_check_config_shows_what_is_configured_but_no_secret(bare, capsys):
    configure(bare, **PRIMARY, API_KEY="hidden-1", XAI_API_KEY="hidden-2")
    assert main(["check-config"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "hidden" not in printed.out
    assert re.search(r"^router .* not used: no url$", printed.out, re.M)
    assert re.search(r"^primary +vllm +http://127.0.0.1:9 .* configured$", printed.out, re.M)
    assert re.search(r"^xai +COMPLEX +xai$", printed.out, re.M)
    assert re.search(r"^reasoning +skipped: router is not configured$", printed.out, re.M)


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        (PRIMARY | {"PORT": "many"}, "PORT"),
        (PRIMARY | {"CASCADE_TIERS": "rules,magic"}, "'magic'"),
        (PRIMARY | {"ROUTER_CONFIG": "{tmp}/missing-prompt.yaml"}, "'classifier/absent'"),
    ],
)
def test_check_config_says_in_one_sentence_what_is_wrong(bare, capsys, tmp_path, environ, part):
    text = (ROOT / "config" / "router.yaml").read_text()
    (tmp_path / "missing-prompt.yaml").write_text(
        text.replace("{backend: router}", "{backend: router, prompt: classifier/absent}")
    )
    configure(
        bare, **{name: value.replace("{tmp}", str(tmp_path)) for name, value in environ.items()}
    )
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ai-router: ")
    assert printed.err.count("\n") == 1
    assert part in printed.err


@pytest.mark.parametrize(
    ("config", "missing"),
    [("config/router.yaml", "PRIMARY_URL"), ("config/examples/cloud-only.yaml", "XAI_API_KEY")],
)
def test_check_config_without_a_backend_says_what_run_would_do(bare, capsys, config, missing):
    configure(bare, ROUTER_CONFIG=config, PORT="8123")
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert "`make run` would start the embedded simulator" in printed.out
    assert "http://127.0.0.1:8123" in printed.out
    assert printed.err.count("\n") == 1
    assert missing in printed.err


def test_check_config_without_a_backend_still_tells_of_other_mistakes(bare, capsys):
    configure(bare, PORT="many", LOG_LEVEL="LOUD")
    assert main(["check-config"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "PORT" in printed.err
    assert "LOG_LEVEL" in printed.err


def test_check_config_tells_of_all_mistakes_a_line_each(bare, capsys):
    configure(bare, **PRIMARY, PORT="many", LOG_LEVEL="LOUD", HOST="0.0.0.0")
    assert main(["check-config"]) == 1
    heading, *lines = capsys.readouterr().err.splitlines()
    assert heading == "ai-router: The configuration has 3 errors:"
    assert len(lines) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_valid_with_the_environment_that_it_names(bare, capsys, example):
    named = re.search(r"^# Environment: (\w+)", example.read_text(), re.M)[1]
    value = "http://127.0.0.1:9" if named.endswith("_URL") else "key"
    environ = {} if named == "none" else {named: value}
    configure(bare, ROUTER_CONFIG=str(example), **environ)
    assert main(["check-config"]) == 0
    placed = set(re.findall(r"\$\{(\w+)", example.read_text()))
    assert set(environ) <= set(ENVIRONMENT) | placed
    assert "not configured" not in capsys.readouterr().out
    # A comment that starts with what the file is for, and how it is used.
    assert f"ROUTER_CONFIG=config/examples/{example.name} make run" in example.read_text()


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {
        "vllm-vllm-xai",
        "ollama-only",
        "one-vllm",
        "cloud-only",
    }


def test_check_config_guesses_at_a_variable_that_is_not_read(bare, capsys):
    configure(bare, **PRIMARY, PRIMARY_MODLE="x", XAI_APIKEY="k", OPENAI_API_KEY="k", MY_PORT="1")
    assert main(["check-config"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "ai-router: PRIMARY_MODLE is not a variable of the router; did you mean PRIMARY_MODEL?",
        "ai-router: XAI_APIKEY is not a variable of the router; did you mean XAI_API_KEY?",
    ]
