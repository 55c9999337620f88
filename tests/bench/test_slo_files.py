"""Service levels as configuration: the files as shipped, and what is refused."""

from pathlib import Path

import pytest

from bench.slo import SloError, endpoint_profile, router_slo


def test_the_two_profiles() -> None:
    first, second = endpoint_profile("000"), endpoint_profile()
    assert second.name == "001"
    levels = {
        name: (slo.latency_ms.limits(), slo.cold_start, slo.max_concurrency)
        for name, slo in first.endpoints.items()
        if slo.latency_ms
    }
    assert levels == {
        "coder-14b": ({"p95": 200, "p99": 400}, 3, 5),
        "gte-qwen2": ({"p95": 100, "p99": 200}, 2, 10),
        "qwen-72b": ({"p95": 800, "p99": 1500}, 5, 2),
        "qwen2-vl": ({"p95": 600, "p99": 1200}, 5, 2),
        "qwen-14b": ({"p95": 400, "p99": 800}, 2, 2),
    }
    assert (first.method.warm_up, first.method.sequential, first.method.per_worker) == (3, 20, 5)
    assert (second.method.warm_up, second.method.sequential) == (50, 200)
    assert first.endpoints["gte-qwen2"].env == second.endpoints["embedding"].env
    assert first.endpoints["gte-qwen2"].model != second.endpoints["embedding"].model


def test_an_address_comes_from_the_environment() -> None:
    slo = endpoint_profile().endpoints["coder"]
    assert slo.address({}) is None
    assert slo.address({"LLM_CODER_URL": " http://127.0.0.1:1 "}) == "http://127.0.0.1:1"


def test_environments_tighten_and_loosen() -> None:
    profile = endpoint_profile()
    assert profile.factor("ci") is None
    production, degraded = profile.factor("production"), profile.factor("degraded")
    assert production is not None
    assert degraded is not None
    assert 0.5 <= production <= 0.7
    assert 2 <= degraded <= 4
    with pytest.raises(SloError, match="no environment 'moon'"):
        profile.factor("moon")


@pytest.mark.parametrize("name", ["router", "router-embedded"])
def test_the_routers_levels_cover_every_route_and_multiple(name: str) -> None:
    slo = router_slo(name)
    assert set(slo.routes) == {"primary", "meta", "xai", "enrich", "embeddings"}
    assert set(slo.levels) == {2, 5, 10}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nroutes: {primary: {ttft_ms: {p95: 5, p99: 4}}}\n", "must not fall"),
        ("name: x\nroutes: {nowhere: {}}\n", "routes.nowhere"),
        ("name: x\nroutes: {}\nerror_share: 1\n", "error_share"),
        ("name: x\nroutes: {}\nfailed_share: 2\n", "failed_share"),
        ("name: x\nroutes: {}\nrecovery: {refused_share: [0.5, 0.1]}\n", "least, most"),
        ("name: [\n", "is not YAML"),
        ("", "the file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(SloError, match=says):
        router_slo(str(path))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SloError, match=r"endpoints-777\.yaml cannot be read"):
        endpoint_profile("777")
