"""Settings from YAML and environment: the effect of each variable, and one sentence per mistake."""

import re
import subprocess
import sys
import time
from datetime import timedelta
from functools import reduce
from pathlib import Path

import pytest

from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.settings import load as load_settings_module
from airouter.settings.load import ENVIRONMENT, ROOT, SECRETS, check_address, load_settings

NOTHING = Path("/nonexistent")
MINIMAL = {"PRIMARY_URL": "http://127.0.0.1:8000"}

# Environment variable -> (its text, what the setting becomes).
CASES = {
    "ROUTER_URL": ("http://r:1", "http://r:1"),
    "ROUTER_MODEL": ("small", "small"),
    "PRIMARY_URL": ("http://p:1/v1/", "http://p:1"),
    "PRIMARY_MODEL": ("good", "good"),
    "XAI_API_URL": ("https://x/v1", "https://x"),
    "XAI_API_KEY": ("k", "k"),
    "XAI_MODEL": ("grok", "grok"),
    "XAI_MIN_MAX_TOKENS": ("512", 512),
    "XAI_SEARCH_TOOLS": ("web_search, x_search,", ("web_search", "x_search")),
    "VIRTUAL_MODEL": ("house", "house"),
    "TZ": ("Europe/Berlin", "Europe/Berlin"),
    "LOG_DIR": ("/tmp/elsewhere", Path("/tmp/elsewhere")),
    "LOG_LEVEL": ("DEBUG", "DEBUG"),
    "LOG_FORMAT": ("json", "json"),
    "CONSOLE": ("1", True),
    "LOG_MAX_AGE_DAYS": ("2.5", 2.5),
    "LOG_MAX_COUNT": ("7", 7),
    "CONTENT_LOGGING": ("off", "off"),
    "API_KEY": ("k", "k"),
    "ADMIN_KEY": ("k", "k"),
    "ALLOW_OPEN": ("yes", True),
    "HOST": ("127.0.0.2", "127.0.0.2"),
    "PORT": ("8123", 8123),
    "AIROUTER_HOST": ("127.0.0.3", "127.0.0.3"),
    "AIROUTER_PORT": ("8124", 8124),
    "ALLOWED_HOSTS": ("llm.example.com", ("llm.example.com",)),
    "CORS_ORIGINS": (
        "http://localhost:5173, https://chat.example.com/",
        ("http://localhost:5173", "https://chat.example.com"),
    ),
    "WORKERS": ("3", 3),
    "THREADS": ("16", 16),
    "PIN": ("0", False),
    "CASCADE_TIERS": ("rules", ("rules",)),
    "SPECULATION": ("off", False),
}


def load(environ=None, file=None, secrets_dir=NOTHING):
    return load_settings(MINIMAL | (environ or {}), file=file, secrets_dir=secrets_dir)


def value_at(settings, dotted):
    return reduce(
        lambda at, name: at[name] if isinstance(at, dict) else getattr(at, name),
        dotted.split("."),
        settings,
    )


def sentence(environ=None, text=None, tmp_path=None):
    file = None
    if text is not None:
        file = tmp_path / "own.yaml"
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(
            MINIMAL | (environ or {}) if text is None else (environ or {}),
            file=file,
            secrets_dir=NOTHING,
        )
    message = caught.value.message
    heading, *lines = message.splitlines()
    assert not lines or heading == f"The configuration has {len(lines)} errors:"
    for line in lines or [heading]:
        assert line[-1] in ".?"
    assert "pydantic" not in message
    return message


# Environment --------------------------------------------------------------------------------------


def test_every_variable_is_tested():
    assert set(CASES) == set(ENVIRONMENT)


@pytest.mark.parametrize("name", CASES)
def test_variable_sets_its_setting(name):
    text, expected = CASES[name]
    assert value_at(load({name: f" {text} "}), ENVIRONMENT[name][0]) == expected


def test_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "server: {port: 9001, threads: 8}\n" + (ROOT / "config" / "router.yaml").read_text()
    )
    settings = load({"PORT": "9002"}, file=file)
    assert (settings.server.port, settings.server.threads, settings.server.workers) == (9002, 8, 1)


@pytest.mark.parametrize("name", CASES)
def test_empty_variable_counts_as_unset(name):
    if name != "PRIMARY_URL":
        assert load({name: ""}) == load()


def test_router_config_names_the_file(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("virtual_model: mine\n" + (ROOT / "config" / "router.yaml").read_text())
    assert load({"ROUTER_CONFIG": str(file)}).virtual_model == "mine"


def test_relative_folders_are_relative_to_the_project_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load({"LOG_DIR": "some/logs"})
    assert settings.logging.dir == ROOT / "some" / "logs"
    assert settings.prompts_dir == ROOT / "config" / "prompts"


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1",
        "http://h:1/",
        "http://h:1/v1",
        "http://h:1/v1/",
        "http://h:1/V1/",
        "http://h:1//v1/v1",
        "http://h:1/v1/chat/completions",
        "http://h:1/v1/chat/completions/",
        "http://h:1/chat/completions",
        "http://h:1/v1/completions",
        "http://h:1/v1/embeddings",
        "http://h:1/v1/models",
        "http://h:1/api/chat",
        " http://h:1/v1\r\n",
    ],
)
def test_trailing_v1_is_accepted(url):
    assert load({"PRIMARY_URL": url}).backends["primary"].url == "http://h:1"


def test_path_before_v1_is_kept():
    assert load({"PRIMARY_URL": "https://h/vllm/v1"}).backends["primary"].url == "https://h/vllm"


# Secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_a_file(name, tmp_path):
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert value_at(load({f"{name}_FILE": str(file)}), ENVIRONMENT[name][0]) == "from-file"


@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_the_secrets_folder(name, tmp_path):
    (tmp_path / name.lower()).write_text("from-folder\n")
    assert value_at(load(secrets_dir=tmp_path), ENVIRONMENT[name][0]) == "from-folder"


@pytest.mark.parametrize("name", SECRETS)
def test_variable_wins_over_its_file(name, tmp_path):
    (tmp_path / name.lower()).write_text("from-folder")
    assert (
        value_at(
            load(
                {name: "direct", f"{name}_FILE": str(tmp_path / name.lower())}, secrets_dir=tmp_path
            ),
            ENVIRONMENT[name][0],
        )
        == "direct"
    )


def test_missing_secret_file_is_named():
    message = sentence({"API_KEY_FILE": "/nonexistent/key"})
    assert "API_KEY_FILE" in message
    assert "/nonexistent/key" in message


def test_secrets_are_not_shown(tmp_path):
    shown = repr(load({"API_KEY": "hidden-1", "XAI_API_KEY": "hidden-2"}))
    assert "hidden" not in shown
    assert "hidden" not in sentence({"API_KEY": "hidden-1", "PORT": "many"})


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"PORT": "many"}, ("server.port", "PORT")),
        ({"PORT": "70000"}, ("server.port", "PORT", "65535")),
        ({"THREADS": "1"}, ("server.threads", "THREADS", "4")),
        ({"SPECULATION": "maybe"}, ("speculation.enabled", "SPECULATION")),
        ({"LOG_LEVEL": "LOUD"}, ("logging.level", "LOG_LEVEL", "INFO")),
        ({"PRIMARY_URL": "localhost:8000"}, ("backends.primary.url", "PRIMARY_URL", "http://")),
        ({"PRIMARY_URL": "ftp://h"}, ("PRIMARY_URL", "http://")),
        ({"PRIMARY_URL": "http://user:pw@h"}, ("PRIMARY_URL", "api_key")),
        ({"PRIMARY_URL": "http://h:port"}, ("PRIMARY_URL",)),
        ({"HOST": "0.0.0.0"}, ("server.host", "API_KEY", "ALLOW_OPEN")),
        ({"HOST": "::"}, ("server.host", "API_KEY")),
        ({"PRIMARY_URL": ""}, ("PRIMARY_URL",)),
        (
            {"ROUTER_CONFIG": "/nonexistent/router.yaml"},
            ("/nonexistent/router.yaml", "ROUTER_CONFIG"),
        ),
    ],
)
def test_mistake_in_the_environment(environ, parts):
    message = sentence(environ)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "backends: {primary: {urll: http://h}}",
            ("own.yaml", "backends.primary.urll", "did you mean 'url'"),
        ),
        ("servre: {port: 1}", ("servre", "did you mean 'server'")),
        ("colour: blue", ("colour", "virtual_model")),
        ("backends: {primary: {url: http://h, zzz: 1}}", ("backends.primary.zzz", "api_key")),
        ("backends: {primary: {url: http://h, kind: magic}}", ("backends.primary.kind", "vllm")),
        (
            "backends: {a: {url: http://h}}\nroutes: {primary: {backends: [b]}}",
            ("routes.primary.backends", "'b'", "backends are a"),
        ),
        ("routes: {fast: {backends: []}}", ("routes.fast", "primary, xai, enrich, meta")),
        ("backends: {a: {url: http://h}}\nembeddings: b", ("embeddings", "'b'")),
        ("{}", ("no backend",)),
        ("", ("no backend",)),
        ("- a list", ("mapping",)),
        ("a: [1,\nb: {", ("own.yaml", "line", "not valid YAML")),
    ],
)
def test_mistake_in_the_file(text, parts, tmp_path):
    message = sentence(text=text, tmp_path=tmp_path)
    assert all(part in message for part in parts), message


def mistakes(environ=None, text=None, tmp_path=None):
    return [line.strip() for line in sentence(environ, text, tmp_path).splitlines()[1:]]


def test_all_mistakes_are_reported_at_once(tmp_path):
    """One line each for invalid values, unknown names and contradictions."""
    found = mistakes({"PORT": "many", "LOG_LEVEL": "LOUD", "HOST": "0.0.0.0", "PRIMARY_URL": "h"})
    assert len(found) == 4
    for part in ("server.port", "logging.level", "server.host", "backends.primary.url"):
        assert sum(f"router.yaml: {part}" in line for line in found) == 1, found
    text = """
backends: {a: {url: "http://h", slots: many}}
routes: {primary: {backends: [a, b]}, fast: {backends: [a]}}
embeddings: c
servre: {port: 1}
"""
    found = mistakes(text=text, tmp_path=tmp_path)
    assert len(found) == 5
    for part in ("backends.a.slots", "no backend 'b'", "routes.fast", "no backend 'c'", "servre"):
        assert sum(part in line for line in found) == 1, found


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"PRIMARY_URL": "127.0.0.1:8000"}, None),
        ({"ALLOW_OPEN": "maybe", "HOST": "0.0.0.0"}, None),
        ({"API_KEY_FILE": "/nonexistent/key", "HOST": "0.0.0.0"}, None),
        ({}, "backends: 5\nroutes: {primary: {backends: [a]}}"),
        ({}, "backends: {a: {url: 5}}\nroutes: {primary: {backends: [a]}}"),
        ({}, "backends: {a: {url: 'http://h', local: 7}}\nroutes: {primary: {backends: [a]}}"),
        ({}, "backends: {a: {url: 'http://h'}}\nroutes: 5"),
        ({}, "backends: {a: {url: 'http://h'}}\nroutes: {primary: {backends: 5}}"),
        ({}, "backends: {a: {url: 'http://h'}}\nroutes: {primary: {}}"),
    ],
)
def test_a_mistake_is_reported_without_its_consequences(environ, text, tmp_path):
    assert "\n" not in sentence(environ, text, tmp_path)


@pytest.mark.parametrize(
    ("example", "environ", "variable"),
    [("cloud-only", {}, "XAI_API_KEY"), (None, {"PRIMARY_URL": ""}, "PRIMARY_URL")],
)
def test_the_variable_that_is_missing_is_named_and_no_other(example, environ, variable):
    if example:
        environ = environ | {"ROUTER_CONFIG": str(ROOT / "config" / "examples" / f"{example}.yaml")}
    with pytest.raises(ConfigError) as caught:
        load_settings(environ, secrets_dir=NOTHING)
    named = re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", caught.value.message)
    assert named == [variable]


@pytest.mark.parametrize("environ", [{"API_KEY": "k"}, {"ALLOW_OPEN": "1"}])
def test_open_address_with_a_key_or_on_purpose(environ):
    assert load({"HOST": "0.0.0.0"} | environ).server.host == "0.0.0.0"


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(file=tmp_path)


# Variables that other programs set ------------------------------------------------


def test_the_prefixed_variables_take_precedence():
    environ = {"HOST": "127.0.0.2", "PORT": "1", "AIROUTER_HOST": "127.0.0.3", "AIROUTER_PORT": "2"}
    server = load(environ).server
    assert (server.host, server.port) == ("127.0.0.3", 2)
    assert load({"HOST": "[::1]"}).server.host == "::1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOST", "x86_64-conda-linux-gnu"),
        ("HOST", "arm64-apple-darwin20.0.0"),
        ("HOST", "no such host"),
        ("AIROUTER_PORT", "tcp://10.0.0.1:8002"),
        ("PORT", "tcp://10.0.0.1:8002"),
        ("TZ", "Moon/Crater"),
        ("TZ", "/etc/passwd"),
        ("TZ", "/no/such/file"),
        ("TZ", ":"),
        ("TZ", "a\0b"),
        ("TZ", "CET-1CEST,M3.5.0"),
        ("TZ", "GMT+25"),
    ],
)
def test_values_not_meant_for_the_router_are_ignored_with_a_warning(name, value, capsys):
    """The router then listens on loopback, or uses the system's time zone; it starts
    nevertheless."""
    load_settings_module._warned.clear()
    assert load({name: value}) == load()
    load({name: value})
    printed = capsys.readouterr().err
    assert printed.count("is ignored") == 1
    assert printed.startswith(f"ai-router: {name}=")


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        (":/usr/share/zoneinfo/posix/Europe/Berlin", "Europe/Berlin"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", None),
        ("UTC0", None),
        ("<+03>-3", None),
        ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", None),
    ],
)
def test_forms_of_the_time_zone(value, zone, capsys, tmp_path):
    """A zone without a name is the system's, because the C library reads the variable, too."""
    assert load({"TZ": value}).timezone == zone
    file = tmp_path / "own.yaml"
    text = (ROOT / "config" / "router.yaml").read_text()
    file.write_text("timezone: Asia/Tokyo\n" + text)
    assert load({"TZ": value}, file=file).timezone == zone
    assert load({"TZ": "Moon/Crater"}, file=file).timezone == "Asia/Tokyo"
    assert f"{value!r} is ignored" not in capsys.readouterr().err


def test_the_file_of_a_zone_is_the_systems(tmp_path):
    file = tmp_path / "localtime"
    file.write_bytes(b"TZif2" + b"\0" * 39)
    assert load({"TZ": f":{file}"}).timezone is None


def test_a_rule_is_applied():
    """By the C library, in a process started with it."""
    program = (
        "from airouter.domain.clock import Clock; from airouter.settings.load "
        "import load_settings\n"
        "now = Clock(load_settings().timezone).now(); print(now.utcoffset(), now.tzname())"
    )
    environ = {"TZ": "XYZ-5:30", "PRIMARY_URL": "http://h", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split() == ["5:30:00", "XYZ"], done.stderr
    assert done.stderr == ""


def test_an_invalid_configured_zone_is_rejected(tmp_path):
    text = "timezone: Moon/Crater\nbackends: {primary: {url: http://h}}\n"
    text += "routes: {primary: {backends: [primary]}}"
    assert "Europe/Berlin" in sentence(text=text, tmp_path=tmp_path)


def test_an_unresolvable_address_is_reported_in_one_sentence():
    with pytest.raises(ConfigError, match="neither an IP address nor a host name"):
        check_address(load({"AIROUTER_HOST": "x86_64-conda-linux-gnu"} | {"API_KEY": "k"}))
    check_address(load({"AIROUTER_HOST": "localhost"}))


# Line breaks and other invisible characters -------------------------------------------------------


@pytest.mark.parametrize(
    "around", ["{}\n", "{}\r", "  {} \r\n", "\ufeff{}", "{}\u200b", "\u00a0{}"]
)
@pytest.mark.parametrize("name", SECRETS)
def test_invisible_characters_around_a_key_are_stripped(name, around, tmp_path):
    value = around.format("sk-secret-123")
    target = ENVIRONMENT[name][0]
    assert value_at(load({name: value}), target) == "sk-secret-123"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file = tmp_path / "key"
        file.write_bytes(value.encode(encoding))
        assert value_at(load({f"{name}_FILE": f"{file}\r"}), target) == "sk-secret-123"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value", ["sk-first-111\nsk-second-222", "sk-first-111\rx", "sk-first-111\x00x"]
)
def test_two_keys_in_one_secret_are_rejected(name, value, tmp_path):
    message = sentence({name: value})
    assert name in message
    assert "single line" in message
    assert "sk-first" not in message


@pytest.mark.parametrize("value", ["sk-sch\u00fcssel", "sk-first sk-second"])
def test_a_backends_key_must_fit_a_header(value):
    message = sentence({"XAI_API_KEY": value})
    assert "XAI_API_KEY" in message
    assert "sk-" not in message


def test_the_clients_key_may_be_any_text():
    assert load({"API_KEY": "schl\u00fcssel \u5f20"}).server.api_key == "schl\u00fcssel \u5f20"


@pytest.mark.parametrize("blank", ["\r", " ", "\n\n", "\ufeff"])
def test_a_blank_key_is_none(blank, tmp_path):
    """It must not become a key that an empty header matches."""
    assert load({"API_KEY": blank}).server.api_key is None
    file = tmp_path / "key"
    file.write_text(blank)
    assert load({"API_KEY_FILE": str(file)}).server.api_key is None


def test_a_secret_file_that_is_not_text(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(b"sk\xff\x80secret")
    assert "XAI_API_KEY" in sentence({"XAI_API_KEY_FILE": str(file)})


@pytest.mark.parametrize("url", ["http://h:1/\r\nv1", "http://a b", "http://h\tx"])
def test_a_url_is_one_line(url):
    message = sentence({"PRIMARY_URL": url})
    assert "PRIMARY_URL" in message


def test_values_in_the_file_are_trimmed_too(tmp_path):
    file = tmp_path / "own.yaml"
    text = (
        'backends: {primary: {url: "http://h:1/v1\\r", api_key: "k\\n", model: "m\\r\\n"}}\n'
        'routes: {primary: {backends: [primary]}}\nserver: {api_key: "  "}\n'
    )
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    settings = load_settings({}, file=file, secrets_dir=NOTHING)
    primary = settings.backends["primary"]
    assert (primary.url, primary.api_key, primary.model) == ("http://h:1", "k", "m")
    assert settings.server.api_key is None


def test_an_impossible_time_zone_falls_back_to_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library accepts offsets of more than a day, which datetime does not."""
    monkeypatch.setenv("TZ", "GMT+25")
    time.tzset()
    try:
        assert Clock().now().utcoffset() == timedelta(0)
    finally:
        monkeypatch.undo()
        time.tzset()
