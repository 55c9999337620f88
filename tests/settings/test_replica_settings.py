"""`urls` and `shares` in the configuration: what the names mean, and how mistakes are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from airouter.domain.errors import ConfigError
from airouter.settings.load import load_settings
from airouter.settings.schema import Settings


def load(tmp_path: Path, backends: Any, env: dict[str, str] | None = None, **more: Any) -> Settings:
    path = tmp_path / "router.yaml"
    data = {"backends": backends, "routes": {"primary": {"backends": [*backends][:1]}}, **more}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_settings(env or {}, file=path)


def test_the_name_of_a_group_means_its_replicas(tmp_path: Path) -> None:
    backends = {
        "fleet": {"kind": "vllm", "urls": ["http://a/v1", "http://b", "http://c"], "slots": 4},
        "cloud": {"kind": "xai", "url": "http://x", "local": False},
        "lone": {"url": "http://l"},
    }
    more = {"aliases": {"all": ["lone", "fleet"]}, "embeddings": "fleet"}
    settings = load(tmp_path, backends, **more)
    assert settings.serving("primary") == ("fleet-1", "fleet-2", "fleet-3")
    assert settings.chain("all") == ("lone", "fleet-1", "fleet-2", "fleet-3")
    assert settings.members(("fleet-2", "fleet", "cloud")) == ("fleet-2", "fleet-1", "fleet-3")
    assert settings.local_backends() == ("fleet-1", "fleet-2", "fleet-3")
    assert settings.usable("fleet")
    one = settings.backends["fleet-1"]
    assert (one.url, one.slots) == ("http://a", 4)


@pytest.mark.parametrize(
    ("urls", "env", "names"),
    [
        (["${A}", "${B:-}", "${C:-http://c}"], {"A": "http://a"}, ("fleet-1", "fleet-3")),
        ("${ALL}", {"ALL": "http://a, http://b"}, ("fleet-1", "fleet-2")),
        (["http://${A}:1"], {"A": "h"}, ("fleet-1",)),
    ],
)
def test_variables_name_the_replicas(
    tmp_path: Path, urls: Any, env: dict[str, str], names: tuple[str, ...]
) -> None:
    """An empty one leaves its replica out, and the others keep their numbers."""
    settings = load(tmp_path, {"fleet": {"urls": urls}}, env)
    assert settings.serving("primary") == names


def test_without_any_url_the_backend_is_absent(tmp_path: Path) -> None:
    backends = {"lone": {"url": "http://l"}, "fleet": {"urls": ["${A}", "${B}"]}}
    settings = load(tmp_path, backends, aliases={"x": ["fleet", "lone"]})
    assert (settings.usable("fleet"), settings.chain("x")) == (False, ("lone",))


@pytest.mark.parametrize(
    ("backends", "shares", "says"),
    [
        ({"f": {"url": "http://a", "urls": ["http://b"]}}, {}, "has both url and urls"),
        ({"f": {"urls": ["http://a", "http://a/v1"]}}, {}, "names the same URL twice"),
        ({"f": {"urls": ["ftp://a"]}}, {}, "must be an http:// or https:// URL"),
        ({"f": {"urls": ["http://a"]}, "f-1": {"url": "http://b"}}, {}, "is called 'f-1'"),
        ({"f": {"urls": ["${"]}}, {}, "a placeholder has the form"),
        ({"f": {"urls": ["http://a"]}}, {"s": {"backends": ["g"], "slots": 1}}, "no backend 'g'"),
        (
            {"f": {"urls": ["http://a"]}},
            {"s": {"backends": ["f"], "slots": 1}, "t": {"backends": ["f-1"], "slots": 1}},
            "'f-1' is in the share 's' already",
        ),
        ({"f": {"url": "http://a"}}, {"s": {"backends": ["f"]}}, "slots"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, backends: Any, shares: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, backends, shares=shares)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
