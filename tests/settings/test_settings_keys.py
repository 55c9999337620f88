"""Keys in the configuration, and in the file that `airouter keys` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from settings.loading import load, sentence

from airouter.domain.errors import ConfigError
from airouter.settings.keys import read_keys

ONE, TWO = "1" * 64, "2" * 64


def mistake(tmp_path: Path, keys: str) -> str:
    backend = "backends: {primary: {url: 'http://127.0.0.1:9'}}\nroutes: {primary: {backends: "
    return str(sentence(None, f"{backend}[primary]}}}}\nkeys: {keys}\n", tmp_path))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("{a: {}}", "keys.a.sha256: field required."),
        ("{a: {sha256: abc}}", "keys.a.sha256: must be the SHA-256 of the key, 64 hexadecimal"),
        (f"{{a: {{sha256: '{ONE}', scopes: [chatt]}}}}", "the scopes are chat, map, admin, cont"),
        (f"{{a: {{sha256: '{ONE}', scopes: []}}}}", "keys.a.scopes: must list at least one of"),
        (f"{{a: {{sha256: '{ONE}', tenants: ['']}}}}", "keys.a.tenants: a tenant has 1 to 64 char"),
        (f"{{a: {{sha256: '{ONE}', requests_per_minute: 0}}}}", "keys.a.requests_per_minute: "),
        (f"{{a: {{sha256: '{ONE}', rpm: 6}}}}", "keys.a.rpm is not a setting"),
        (f"{{default: {{sha256: '{ONE}'}}}}", "keys.default: 'default' is the id of API_KEY"),
        (f"{{'a b': {{sha256: '{ONE}'}}}}", "keys.a b: an id has 1 to 64 letters"),
        (f"{{a: {{sha256: '{ONE}'}}, b: {{sha256: '{ONE}'}}}}", "it is the same key as keys.a"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, keys: str, says: str) -> None:
    said = mistake(tmp_path, keys)
    assert says in said
    assert ONE not in said


def test_the_file_adds_to_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    assert load({"KEYS_FILE": str(file)}).keys == {}  # it need not exist
    file.write_text(f"a: {{sha256: '{ONE.upper()}', scopes: [map], requests_per_minute: 60}}\n")
    settings = load({"KEYS_FILE": str(file)})
    assert settings.keys["a"].requests_per_minute == 60
    assert settings.keyed
    assert load({"KEYS_FILE": str(file), "HOST": "0.0.0.0"}).keys  # other machines may connect
    assert ONE not in repr(settings)


def test_mistakes_in_the_file_name_it(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("a: 5\nb: {sha256: xyz}\nc: {sha256: 5}\n")
    said = sentence({"KEYS_FILE": str(file)})
    assert "some.yaml: a: must be a mapping with sha256 and scopes." in said
    assert "some.yaml: b.sha256: must be the SHA-256" in said
    assert "xyz" not in said
    file.write_text("[")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_keys(file)


def test_a_key_is_in_one_place(tmp_path: Path) -> None:
    file, own = tmp_path / "keys.yaml", tmp_path / "router.yaml"
    file.write_text(f"a: {{sha256: '{ONE}'}}\n")
    own.write_text(
        "backends: {primary: {url: 'http://127.0.0.1:9'}}\nroutes: {primary: {backends: [primary]}}"
        f"\nkeys_file: {file}\nkeys: {{a: {{sha256: '{TWO}'}}, b: {{sha256: '{TWO[1:]}3'}}}}\n"
    )
    with pytest.raises(ConfigError, match=r"keys\.a is in keys\.yaml, too"):
        load(file=own)
    own.write_text(own.read_text().replace("a: {sha256", "c: {sha256"))
    assert set(load(file=own).keys) == {"a", "b", "c"}
