"""`${NAME}` and `${NAME:-default}` in the configuration file."""

import pytest

from airouter.__main__ import main
from airouter.cli.embedded import nothing_configured
from airouter.settings.load import ENVIRONMENT, load_settings
from tests.settings.loading import NOTHING, sentence

CLOUD = "  cloud: {url: http://c, local: false, api_key: k}\n"
ROUTES = "routes: {primary: {backends: [own, cloud]}}\n"


def own(tmp_path, *fields, more=""):
    """A file with a backend of these lines, beside a cloud."""
    lines = "".join(f"    {field}\n" for field in fields)
    text = f"{more}backends:\n  own:\n{lines}{CLOUD}{ROUTES}"
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return path


def backend(tmp_path, environ, *fields):
    return load_settings(environ, file=own(tmp_path, *fields), secrets_dir=NOTHING).backends["own"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${SET}", "value"),
        ("a-${SET}.${SET:-b}", "a-value.value"),
        ("${UNSET:-some:text-1}", "some:text-1"),
        ("x${EMPTY:-}${UNSET}", "x"),
        ("${EMPTY:-d$$e}", "d$e"),
        ("${_LOW_1}", "${SET}"),  # a value is not read again
        ("$${SET} $$ $", "${SET} $ $"),
        ("$$${SET}", "$value"),
        ("${UNSET}", None),
        # As before there were placeholders.
        ("pa$$word $SET $", "pa$$word $SET $"),
        ("$", "$"),
    ],
)
def test_a_value_is_filled_from_the_environment(tmp_path, text, filled):
    environ = {"SET": " value\r\n", "EMPTY": " ", "_LOW_1": "${SET}"}
    assert backend(tmp_path, environ, "url: http://h", f"model: {text}").model == filled


def test_every_field_that_may_have_one(tmp_path):
    """Also by an alias, and a merged mapping."""
    fields = ("url: &u ${URL}", "model: '${MODEL:-m}'", "api_key: ${KEY}")
    found = backend(tmp_path, {"URL": "http://h:1/v1", "KEY": "k-1"}, *fields)
    assert (found.url, found.model, found.api_key) == ("http://h:1", "m", "k-1")
    path = own(tmp_path, *fields)
    text = path.read_text().replace("  own:\n", "  own: &own\n")
    text = text.replace(CLOUD, CLOUD + "  twin: {<<: [*own], model: t}\n  third: {url: *u}\n")
    path.write_text(text)
    twins = load_settings({"URL": "http://h:1"}, file=path, secrets_dir=NOTHING).backends
    assert [twins[name].url for name in ("own", "twin", "third")] == ["http://h:1"] * 3
    assert twins["twin"].model == "t"


def test_a_backend_whose_url_or_key_is_empty_is_absent(tmp_path):
    path = own(tmp_path, "url: ${URL}")
    path.write_text(path.read_text().replace("api_key: k", 'api_key: "${CLOUD_KEY}"'))
    of_file = {"file": path, "secrets_dir": NOTHING}
    assert load_settings({"CLOUD_KEY": "k"}, **of_file).serving("primary") == ("cloud",)
    assert load_settings({"URL": "http://h"}, **of_file).serving("primary") == ("own",)
    for environ in ({}, {"URL": "http://h"}, {"CLOUD_KEY": "k"}):  # no simulator instead
        assert not nothing_configured({"ROUTER_CONFIG": str(path)} | environ, NOTHING)


def test_the_routers_own_variables_take_precedence(tmp_path):
    path = own(tmp_path, "url: ${URL}")
    path.write_text(path.read_text().replace("own", "primary"))
    environ = {"URL": "http://h:1", "PRIMARY_URL": "http://h:2"}
    assert load_settings(environ, file=path).backends["primary"].url == "http://h:2"


def test_an_invalid_value_names_its_variable(tmp_path):
    message = sentence({"URL": "h:1"}, own(tmp_path, "url: ${URL}").read_text(), tmp_path)
    assert message.startswith("own.yaml: backends.own.url (environment: URL): must be an http://")


def test_a_variable_that_is_missing_is_named(tmp_path):
    text = own(tmp_path, "url: ${VLLM_URL}").read_text().replace("[own, cloud]", "[own]")
    assert "set backends.own.url (VLLM_URL)," in sentence({}, text, tmp_path)


@pytest.mark.parametrize("text", ["${", "a${1x}", "${A", "${A:x}", "${A-b}", "${A:-${B}}", "${}"])
@pytest.mark.parametrize("field", ["url", "model", "api_key"])
def test_a_malformed_placeholder_is_refused_with_its_line(tmp_path, text, field):
    fields = [f"{field}: 'http://h{text}'"] + ["url: http://h"] * (field != "url")
    message = sentence({}, own(tmp_path, *fields).read_text(), tmp_path)
    assert message == (
        f"own.yaml, line 3: backends.own.{field}: a placeholder has the form ${{NAME}} or "
        "${NAME:-default}; write $${ for a literal ${."
    )


def test_placeholders_elsewhere_are_refused_each_with_its_line(tmp_path):
    """At once, with the other errors, and without what would only follow from them."""
    more = 'server: {port: "${PORT}", max_body_mb: 0, allowed_hosts: ["${H}"]}\n"${K}": 1\n'
    text = own(tmp_path, "url: ${URL}", "kind: ${KIND:-vllm}", "api_key: ${", more=more).read_text()
    text = text.replace("[own, cloud]", '["${ROUTE}"]')
    lines = sentence({}, text, tmp_path).splitlines()[1:]
    assert sorted(line.strip().partition(": a")[0].partition(": p")[0] for line in lines) == [
        "own.yaml, line 1: server.allowed_hosts.0",
        "own.yaml, line 1: server.port",
        "own.yaml, line 2: ${K}",
        "own.yaml, line 6: backends.own.kind",
        "own.yaml, line 7: backends.own.api_key",
        "own.yaml, line 9: routes.primary.backends.0",
        "own.yaml: server.max_body_mb: input should be greater than 0.",
    ]


def test_within_braces_a_placeholder_needs_quotes(tmp_path):
    message = sentence({}, "backends: {own: {url: ${URL}}}\n", tmp_path)
    assert message.endswith("; within braces, ${NAME} needs quotes.")


@pytest.mark.parametrize("url", ["${OLLAMA_BASE_URL}", "${OLLAMA_BASE_URL:-http://h}", "http://h"])
@pytest.mark.parametrize("value", ["http://127.0.0.1:11434", "any", ""])
def test_the_variable_of_the_old_ollama_host_is_not_read(tmp_path, monkeypatch, capsys, url, value):
    """One warning, and no error: the backend is absent, or has its default."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROUTER_CONFIG", str(own(tmp_path, f"url: {url}")))
    monkeypatch.setenv("OLLAMA_BASE_URL", value)
    assert main(["check-config"]) == 0
    printed = capsys.readouterr()
    warned = value != "" or "OLLAMA" in url
    assert printed.err.count("OLLAMA_BASE_URL is not read; the old Ollama host is") == warned
    assert printed.err.count("\n") == warned
    assert ("not used: no url" in printed.out) == (url == "${OLLAMA_BASE_URL}")
