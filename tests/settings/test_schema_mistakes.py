"""A mistake in the configuration is told in one sentence that names the setting; all of them at
once."""

import re

import pytest

from airouter.domain.errors import ConfigError
from airouter.settings.load import ROOT, load_settings
from tests.settings.loading import NOTHING, load, sentence


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
        (
            "backends: {primary: {url: http://h}}\ntasks: {coding: [{backends: [primary]}]}",
            ("tasks.coding: unknown task", "code, reasoning, embedding"),
        ),
        (
            "backends: {primary: {url: http://h}}\ntasks: {code: [{backends: [coder]}]}",
            ("tasks.code: there is no backend 'coder'", "backends are primary"),
        ),
        ("tasks: {code: [{backends: []}]}", ("tasks.code.0.backends", "at least 1")),
        ("tasks: {code: [{ovr: 1, backends: [a]}]}", ("tasks.code.0.ovr", "did you mean 'over'")),
        ("tasks: {code: [{needs: [audio], backends: [a]}]}", ("tasks.code.0.needs.0", "vision")),
        (
            "backends: {primary: {url: http://h, vision: true, capabilities: [chat]}}",
            ("backends.primary.capabilities", "contradicts vision: true"),
        ),
        (
            "backends: {primary: {url: http://h, reasoning: true, capabilities: [chat]}}",
            ("backends.primary.capabilities", "contradicts reasoning: true"),
        ),
        (
            "backends: {primary: {url: http://h, price: {input: -1}}}",
            ("backends.primary.price.input", "greater than or equal to 0"),
        ),
        (
            "backends: {primary: {url: http://h, price: {cached: .nan}}}",
            ("backends.primary.price.cached", "finite"),
        ),
        (
            "backends: {primary: {url: http://h, price: {inputs: 1}}}",
            ("backends.primary.price.inputs", "did you mean 'input'"),
        ),
        ("routes: {fast: {backends: []}}", ("routes.fast", "primary, xai, enrich, meta")),
        ("backends: {a: {url: http://h}}\nembeddings: b", ("embeddings", "'b'")),
        ("backends: {a: {url: http://h}}\naliases: {x: [b]}", ("aliases.x", "'b'", "are a")),
        ("backends: {a: {url: http://h}}\naliases: {x: []}", ("aliases.x", "at least one")),
        ("aliases: {ai-router/x: [a]}", ("aliases.ai-router/x", "virtual_model")),
        ("model_aliases: {'*a*': moon}", ("model_aliases.*a*", "auto, primary, xai")),
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


def test_all_mistakes_are_told_at_once(tmp_path):
    """Values, names, and what does not fit together: a line each."""
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
def test_one_mistake_is_told_without_what_follows_from_it(environ, text, tmp_path):
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
