"""When `run` starts a simulator: where no backend is configured."""

import pytest

from airouter.cli.embedded import nothing_configured
from tests.cli.started import EXAMPLES, LIMIT


def test_nothing_is_configured_by_the_shipped_file(tmp_path):
    assert nothing_configured({}, tmp_path)


@pytest.mark.parametrize("name", ["PRIMARY_URL", "ROUTER_URL", "XAI_API_KEY", "XAI_API_KEY_FILE"])
def test_one_variable_is_a_configuration(name, tmp_path):
    assert not nothing_configured({name: "x"}, tmp_path)
    assert nothing_configured({name: ""}, tmp_path)


def test_a_secret_is_a_configuration(tmp_path):
    (tmp_path / "xai_api_key").write_text("k")
    assert not nothing_configured({}, tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_local_url_in_the_file_is_a_configuration(example, tmp_path):
    assert nothing_configured({"ROUTER_CONFIG": str(example)}, tmp_path) is (
        example.stem == "cloud-only"
    )


def test_half_a_configuration_starts_no_simulator(start):
    run = start("airouter", "run", ROUTER_URL="http://127.0.0.1:9")
    assert run.process.wait(LIMIT) == 1
    assert run.printed().count("\n") == 1
    assert "PRIMARY_URL" in run.printed()
