"""What other programs and editors put into the environment and into files: zones, line ends,
blanks."""

import subprocess
import sys
import time
from datetime import timedelta

import pytest

from airouter.domain.clock import Clock
from airouter.domain.errors import ConfigError
from airouter.settings import load as load_settings_module
from airouter.settings.load import ENVIRONMENT, ROOT, SECRETS, check_address, load_settings
from tests.settings.loading import NOTHING, load, sentence, value_at


def test_the_prefixed_variables_win():
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
def test_what_was_not_meant_for_the_router_is_ignored_with_a_warning(name, value, capsys):
    """It listens on loopback then, or shows the system's time; the start is not refused."""
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
    """A zone without a name is the system's: the C library has read the variable."""
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


def test_a_rule_is_obeyed():
    """By the C library, in a process that was started with it."""
    program = (
        "from airouter.domain.clock import Clock; from airouter.settings.load import "
        "load_settings\n"
        "now = Clock(load_settings().timezone).now(); print(now.utcoffset(), now.tzname())"
    )
    environ = {"TZ": "XYZ-5:30", "PRIMARY_URL": "http://h", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.split() == ["5:30:00", "XYZ"], done.stderr
    assert done.stderr == ""


def test_a_configured_zone_that_is_none_is_refused(tmp_path):
    text = "timezone: Moon/Crater\nbackends: {primary: {url: http://h}}\n"
    text += "routes: {primary: {backends: [primary]}}"
    assert "Europe/Berlin" in sentence(text=text, tmp_path=tmp_path)


def test_an_address_that_cannot_be_resolved_is_one_sentence():
    with pytest.raises(ConfigError, match="neither an IP address nor a host name"):
        check_address(load({"AIROUTER_HOST": "x86_64-conda-linux-gnu"} | {"API_KEY": "k"}))
    check_address(load({"AIROUTER_HOST": "localhost"}))


@pytest.mark.parametrize(
    "around", ["{}\n", "{}\r", "  {} \r\n", "\ufeff{}", "{}\u200b", "\u00a0{}"]
)
@pytest.mark.parametrize("name", SECRETS)
def test_invisible_ends_of_a_key_are_dropped(name, around, tmp_path):
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
def test_two_keys_in_one_secret_are_refused(name, value, tmp_path):
    message = sentence({name: value})
    assert name in message
    assert "single line" in message
    assert "sk-first" not in message


@pytest.mark.parametrize("value", ["sk-sch\u00fcssel", "sk-first sk-second"])
def test_a_backends_key_must_fit_a_header(value):
    message = sentence({"XAI_API_KEY": value})
    assert "XAI_API_KEY" in message
    assert "sk-" not in message


def test_the_callers_key_may_be_any_text():
    assert load({"API_KEY": "schl\u00fcssel \u5f20"}).server.api_key == "schl\u00fcssel \u5f20"


@pytest.mark.parametrize("blank", ["\r", " ", "\n\n", "\ufeff"])
def test_a_blank_key_is_none(blank, tmp_path):
    """It must not be a key that an empty header matches."""
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


def test_the_time_is_told_in_a_zone_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library accepts an offset of more than a day, which no date can have."""
    monkeypatch.setenv("TZ", "GMT+25")
    time.tzset()
    try:
        assert Clock().now().utcoffset() == timedelta(0)
    finally:
        monkeypatch.undo()
        time.tzset()
