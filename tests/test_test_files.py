"""Where tests are: each module of airouter/ has a test file named after it, or is listed here."""

from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
MODULES = sorted(
    path.relative_to(ROOT / "airouter")
    for path in (ROOT / "airouter").rglob("*.py")
    if path.name != "__init__.py"
)
FILES = sorted(TESTS.rglob("test_*.py"))

# Modules whose behaviour a client, an operator or a backend sees: those tests name the behaviour.
TESTED_BY = {
    "__main__.py": "cli/test_check_config.py",
    "api/inference.py": "api/test_chat.py",
    "api/instead.py": "api/test_paths.py",
    "api/middleware.py": "api/test_sessions_and_lines.py",
    "api/responses.py": "api/test_render_errors.py",
    "api/status.py": "api/test_health.py",
    "api/timeout_header.py": "mapper/test_mapper_api.py",
    "cli/parent_death.py": "cli/test_launch.py",
    "cli/subcommands.py": "cli/test_cli_slo.py",
    "cli/router_client.py": "cli/test_cli_reload.py",
    "cli/sessions_arguments.py": "cli/test_cli_sessions.py",
    "dialects/blocks.py": "dialects/test_messages_stream.py",
    "dialects/sse.py": "dialects/test_openai_stream.py",
    "discover/listed_models.py": "discover/test_discover_configuration.py",
    "discover/ports.py": "cli/test_cli_discover.py",
    "domain/dialect.py": "mypy: types only",
    "domain/errors.py": "api/test_render_errors.py",
    "domain/ports.py": "mypy: types only",
    "domain/tasks.py": "mypy: types and a table only",
    "domain/types.py": "mypy: types and a table only",
    "evaluation/decider.py": "evaluation/test_evaluate.py",
    "evaluation/picture.py": "evaluation/test_evaluate.py",
    "flow/driver.py": "upstream/test_call.py",
    "flow/exchange.py": "proxy/test_disconnect.py",
    "flow/reply.py": "server/test_serving.py",
    "flow/waits.py": "flow/test_flows_without_sockets.py",
    "mapper/answer.py": "mapper/test_mapper_api.py",
    "mapper/openapi.py": "mapper/test_mapper_api.py",
    "mapper/files.py": "mapper/test_taxonomy.py",
    "proxy/attempt.py": "failover/test_chain.py",
    "proxy/failover.py": "failover/test_chain.py",
    "proxy/pipeline.py": "api/test_chat.py",
    "proxy/recovery.py": "failover/test_midstream.py",
    "proxy/request_state.py": "mypy: types only",
    "resilience/failure.py": "proxy/test_retry_policy.py",
    "resilience/per_process.py": "upstream/test_upstream_client.py",
    "runtime/control.py": "failover/test_drain_reload.py",
    "runtime/housekeeper.py": "failover/test_cooldown.py",
    "runtime/process.py": "failover/test_drain_reload.py",
    "runtime/reload_policy.py": "failover/test_drain_reload.py",
    "runtime/state.py": "failover/test_drain_reload.py",
    "runtime/objectives.py": "api/test_slo_api.py",
    "server/response.py": "server/test_framing.py",
    "sessions/database.py": "sessions/test_sessions_sql.py",
    "sessions/find.py": "sessions/test_sessions_listing.py",
    "settings/backends.py": "settings/test_load_settings.py",
    "settings/proxying.py": "settings/test_load_settings.py",
    "settings/responses.py": "api/test_stored_responses.py",
    "settings/section.py": "settings/test_load_settings.py",
    "settings/server.py": "settings/test_load_settings.py",
    "slo/objectives.py": "slo/test_load.py",
    "slo/webhook.py": "slo/test_engine.py",
    "telemetry/spans.py": "telemetry/test_tracing.py",
    "telemetry/slo_metrics.py": "api/test_slo_api.py",
    "upstream/read_all.py": "upstream/test_loaded_models.py",
    "upstream/backend.py": "failover/test_starting_backends.py",
    "upstream/transport/response.py": "upstream/test_call_surprises.py",
}


def own_tests(module: Path) -> list[Path]:
    """test_X*.py, or test_<package>_X*.py, for the module X."""
    stem = module.stem.strip("_")
    names = (f"test_{stem}", f"test_{module.parent.name}_{stem}")
    return [path for path in FILES if path.stem.startswith(names)]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_its_test_file_or_is_listed(module: Path) -> None:
    listed = TESTED_BY.get(module.as_posix())
    if own_tests(module):
        assert listed is None, f"{module} has its own test file now: take it off TESTED_BY"
    else:
        assert listed, f"add a test file for {module}, or the file that tests it to TESTED_BY"
        assert listed.startswith("mypy: ") or (TESTS / listed).is_file(), f"{listed} is missing"


def test_the_list_names_modules_that_exist() -> None:
    assert set(TESTED_BY) <= {module.as_posix() for module in MODULES}


def test_names_of_test_files_are_unique() -> None:
    """pytest imports a test file by its name alone."""
    assert [name for name, n in Counter(path.name for path in FILES).items() if n > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
