"""`keys`: add, list, revoke."""

import hashlib

import pytest
import yaml

from airouter.__main__ import main
from tests.cli.started import PRIMARY, configure


@pytest.fixture
def file(bare, tmp_path):
    configure(bare, **PRIMARY)
    return tmp_path / "keys.yaml"


def test_add_prints_the_key_once_and_keeps_its_digest(file, capsys):
    added = ["keys", "add", "mapper", "--scopes", "chat,map", "--rpm", "60", "--tenant", "acme"]
    assert main([*added, "--tenant", "other"]) == 0
    printed = capsys.readouterr()
    key = printed.out.strip()
    assert key.startswith("air_")
    assert len(key) >= 47
    assert "first key" in printed.err
    assert "airouter reload" in printed.err
    assert key not in printed.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in file.read_text()
    assert yaml.safe_load(file.read_text()) == {
        "mapper": {
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "scopes": ["chat", "map"],
            "tenants": ["acme", "other"],
            "requests_per_minute": 60,
        }
    }
    assert main(["keys", "add", "second"]) == 0
    assert "first key" not in capsys.readouterr().err
    assert [path.name for path in file.parent.iterdir() if "keys.yaml" in path.name] == [file.name]


def test_list_shows_no_digests(file, bare, capsys):
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out == "There are no keys.\n"
    bare.setenv("API_KEY", "the-house-key")
    main(["keys", "add", "mapper", "--scopes", "map", "--rpm", "60", "--tenant", "acme"])
    key = capsys.readouterr().out.strip()
    assert main(["keys", "list"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["default", "chat,", "map,", "content", "all", "any", "API_KEY"]
    assert lines[2] == ["mapper", "map", "acme", "60", "keys.yaml"]
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert not {key, digest} & {word for line in lines for word in line}


def test_revoke_removes_one_key(file, capsys):
    for name in ("one", "two"):
        main(["keys", "add", name])
    assert main(["keys", "revoke", "one"]) == 0
    assert list(yaml.safe_load(file.read_text())) == ["two"]
    assert main(["keys", "revoke", "two"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().out == "There are no keys.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "one"], "There is a key 'one' already"),
        (["add", "default"], "'default' is the id of API_KEY"),
        (["add", "a b"], "an id has 1 to 64"),
        (["add", "x", "--scopes", "chat,fly"], "--scopes: unknown scope"),
        (["add", "x", "--rpm", "0"], "--rpm: "),
        (["add", "x", "--tenant", ""], "--tenant: a tenant has"),
        (["revoke", "x"], "There is no key 'x'"),
    ],
)
def test_mistakes_change_nothing(file, capsys, arguments, says):
    main(["keys", "add", "one"])
    before = file.read_bytes()
    assert main(["keys", *arguments]) == 1
    assert says in capsys.readouterr().err
    assert file.read_bytes() == before


def test_keys_of_router_yaml_are_left_to_their_owner(file, bare, tmp_path, capsys):
    own = tmp_path / "router.yaml"
    own.write_text(
        "backends: {primary: {url: 'http://127.0.0.1:9'}}\nroutes: {primary: {backends: [primary]}}"
        f"\nkeys: {{mine: {{sha256: '{'1' * 64}'}}}}\n"
    )
    before = own.read_bytes()
    bare.setenv("ROUTER_CONFIG", str(own))
    assert main(["keys", "revoke", "mine"]) == 1
    assert "remove it there" in capsys.readouterr().err
    assert main(["keys", "add", "mine"]) == 1
    assert main(["keys", "add", "other"]) == 0
    capsys.readouterr()
    assert main(["keys", "list"]) == 0
    assert "router.yaml" in capsys.readouterr().out
    assert own.read_bytes() == before


def test_a_file_that_cannot_be_written_is_a_sentence(file, bare, tmp_path, capsys):
    bare.setenv("KEYS_FILE", str(tmp_path / "missing" / "keys.yaml"))
    assert main(["keys", "add", "one"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "cannot be written: No such file" in printed.err
