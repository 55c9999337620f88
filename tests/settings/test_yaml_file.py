"""The configuration file as YAML: each error is reported in one sentence."""

import pytest

from airouter.domain.errors import ConfigError
from airouter.settings.yaml_file import read_yaml


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "own.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_duplicate_key_is_reported_once_and_the_later_one_counts(file, capsys):
    path = file("server:\n  port: 1\nbackends: {}\nserver:\n  port: 2\n  host: a\n  host: b\n")
    for _ in range(2):
        assert read_yaml(path) == {"server": {"port": 2, "host": "b"}, "backends": {}}
    printed = capsys.readouterr().err.splitlines()
    assert printed == [
        "ai-router: own.yaml: 'host' is set twice, in lines 6 and 7; the later one is used.",
        "ai-router: own.yaml: 'server' is set twice, in lines 1 and 4; the later one is used.",
    ]


def test_a_merged_key_that_is_overridden_is_not_a_duplicate(file, capsys):
    path = file(
        "a: &a {x: 1, y: 1}\nbelow: {b: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}\nd: {<<: [*a, *b]}\n"
    )
    data = read_yaml(path)
    assert (data["below"]["b"], data["c"]) == ({"x": 2, "y": 1}, {"x": 2, "y": 3})
    assert capsys.readouterr().err == ""


def test_an_empty_file_is_an_empty_mapping(file):
    assert read_yaml(file("")) == read_yaml(file("# nothing\n")) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe\x00bad", r"^The configuration file \S+ is not text in UTF-8\.$"),
        ("a:\n\tb: 1\n", r"^\S+, line 2 is not valid YAML: .*\.$"),
        ("a: {b: 1\n", r"^\S+, line 2 is not valid YAML: .*\.$"),
        ("- a\n", r"^\S+ must be a mapping with sections"),
        ("text", r"^\S+ must be a mapping with sections"),
        ("a: \x07\n", r"^\S+ is not valid YAML: .*\.$"),
    ],
)
def test_anything_but_a_mapping_is_reported_in_one_sentence(file, content, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_yaml(file(content))


def test_an_unreadable_path_is_reported_in_plain_words(tmp_path):
    with pytest.raises(ConfigError) as error:
        read_yaml(tmp_path)
    assert (
        error.value.message == f"The configuration file {tmp_path} cannot be read: Is a directory."
    )
    with pytest.raises(ConfigError, match="does not exist; set ROUTER_CONFIG"):
        read_yaml(tmp_path / "missing.yaml")
