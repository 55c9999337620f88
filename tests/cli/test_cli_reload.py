"""`reload`, and a configuration that is broken while the router runs."""

import time

from airouter.settings.load import ROOT
from tests.cli.started import LIMIT, PRIMARY


def test_gunicorn_does_not_respawn_over_a_broken_configuration(start):
    started = time.monotonic()
    one = start("gunicorn", "-c", "gunicorn.conf.py", **PRIMARY, LOG_LEVEL="LOUD")
    assert one.process.wait(LIMIT) == 1
    assert time.monotonic() - started < 15
    assert one.printed().count("\n") == 1
    assert "LOG_LEVEL" in one.printed()


def test_serve_reloads_a_good_configuration_and_is_spared_a_broken_one(start, tmp_path):
    file = tmp_path / "own.yaml"
    shipped = (ROOT / "config" / "router.yaml").read_text()
    file.write_text(shipped)
    serve = start("airouter", "serve", **PRIMARY, ROUTER_CONFIG=str(file)).until_up()

    def first_model():
        _, models = serve.get("/v1/models") or (0, {"data": [{"id": ""}]})
        return models["data"][0]["id"]

    assert first_model() == "ai-router"

    file.write_text(shipped + "\nvirtual_modle: house\n")
    reload = start(
        "airouter", "reload", PORT=str(serve.port)
    )  # its own configuration is a good one
    assert reload.process.wait(LIMIT) == 1
    assert "Nothing was changed" in reload.printed()
    assert "did you mean 'virtual_model'" in reload.printed()
    assert first_model() == "ai-router"

    file.write_text(shipped + "\nvirtual_model: house\n")
    assert start("airouter", "reload", PORT=str(serve.port)).process.wait(LIMIT) == 0
    serve.wait_for(lambda: first_model() == "house", "did not reload")
    assert serve.end() == 0
    serve.until_gone()


def test_reload_without_a_router(start):
    reload = start("airouter", "reload")
    assert reload.process.wait(LIMIT) == 1
    assert reload.printed().startswith(
        f"ai-router: No router answers at http://127.0.0.1:{reload.port};"
    )
