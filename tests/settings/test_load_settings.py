"""Settings from YAML and environment: the effect of each variable, and one sentence per mistake."""

from pathlib import Path

import pytest

from airouter.settings.load import ENVIRONMENT, ROOT, SECRETS
from tests.settings.loading import load, sentence, value_at

# Environment variable -> (its text, what the setting becomes).
CASES = {
    "ROUTER_URL": ("http://r:1", "http://r:1"),
    "ROUTER_MODEL": ("small", "small"),
    "PRIMARY_URL": ("http://p:1/v1/", "http://p:1"),
    "PRIMARY_MODEL": ("good", "good"),
    "XAI_API_URL": ("https://x/v1", "https://x"),
    "XAI_API_KEY": ("k", "k"),
    "XAI_MODEL": ("grok", "grok"),
    "XAI_MIN_MAX_TOKENS": ("512", 512),
    "XAI_SEARCH_TOOLS": ("web_search, x_search,", ("web_search", "x_search")),
    "VIRTUAL_MODEL": ("house", "house"),
    "TZ": ("Europe/Berlin", "Europe/Berlin"),
    "LOG_DIR": ("/tmp/elsewhere", Path("/tmp/elsewhere")),
    "LOG_LEVEL": ("DEBUG", "DEBUG"),
    "LOG_FORMAT": ("json", "json"),
    "CONSOLE": ("1", True),
    "LOG_MAX_AGE_DAYS": ("2.5", 2.5),
    "LOG_MAX_COUNT": ("7", 7),
    "CONTENT_LOGGING": ("off", "off"),
    "INDEX": ("off", False),
    "TRACING_ENDPOINT": ("http://c:4318", "http://c:4318"),
    "API_KEY": ("k", "k"),
    "ADMIN_KEY": ("k", "k"),
    "KEYS_FILE": ("/tmp/elsewhere.yaml", Path("/tmp/elsewhere.yaml")),
    "ALLOW_OPEN": ("yes", True),
    "HOST": ("127.0.0.2", "127.0.0.2"),
    "PORT": ("8123", 8123),
    "AIROUTER_HOST": ("127.0.0.3", "127.0.0.3"),
    "AIROUTER_PORT": ("8124", 8124),
    "ALLOWED_HOSTS": ("llm.example.com", ("llm.example.com",)),
    "CORS_ORIGINS": (
        "http://localhost:5173, https://chat.example.com/",
        ("http://localhost:5173", "https://chat.example.com"),
    ),
    "WORKERS": ("3", 3),
    "THREADS": ("16", 16),
    "PIN": ("0", False),
    "CASCADE_TIERS": ("rules", ("rules",)),
    "SPECULATION": ("off", False),
    "MAPPER_SERVING_MODE": ("rules_only", "rules_only"),
}


# Environment --------------------------------------------------------------------------------------


def test_every_variable_is_tested():
    assert set(CASES) == set(ENVIRONMENT)


@pytest.mark.parametrize("name", CASES)
def test_variable_sets_its_setting(name):
    text, expected = CASES[name]
    assert value_at(load({name: f" {text} "}), ENVIRONMENT[name][0]) == expected


def test_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "server: {port: 9001, threads: 8}\n" + (ROOT / "config" / "router.yaml").read_text()
    )
    settings = load({"PORT": "9002"}, file=file)
    assert (settings.server.port, settings.server.threads, settings.server.workers) == (9002, 8, 1)


@pytest.mark.parametrize("name", CASES)
def test_empty_variable_counts_as_unset(name):
    if name != "PRIMARY_URL":
        assert load({name: ""}) == load()


def test_router_config_names_the_file(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("virtual_model: mine\n" + (ROOT / "config" / "router.yaml").read_text())
    assert load({"ROUTER_CONFIG": str(file)}).virtual_model == "mine"


def test_relative_folders_are_relative_to_the_project_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load({"LOG_DIR": "some/logs"})
    assert settings.logging.dir == ROOT / "some" / "logs"
    assert settings.prompts_dir == ROOT / "config" / "prompts"


@pytest.mark.parametrize(
    "url",
    [
        "http://h:1",
        "http://h:1/",
        "http://h:1/v1",
        "http://h:1/v1/",
        "http://h:1/V1/",
        "http://h:1//v1/v1",
        "http://h:1/v1/chat/completions",
        "http://h:1/v1/chat/completions/",
        "http://h:1/chat/completions",
        "http://h:1/v1/completions",
        "http://h:1/v1/embeddings",
        "http://h:1/v1/models",
        "http://h:1/api/chat",
        " http://h:1/v1\r\n",
    ],
)
def test_trailing_v1_is_accepted(url):
    assert load({"PRIMARY_URL": url}).backends["primary"].url == "http://h:1"


def test_path_before_v1_is_kept():
    assert load({"PRIMARY_URL": "https://h/vllm/v1"}).backends["primary"].url == "https://h/vllm"


# Secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_a_file(name, tmp_path):
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert value_at(load({f"{name}_FILE": str(file)}), ENVIRONMENT[name][0]) == "from-file"


@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_the_secrets_folder(name, tmp_path):
    (tmp_path / name.lower()).write_text("from-folder\n")
    assert value_at(load(secrets_dir=tmp_path), ENVIRONMENT[name][0]) == "from-folder"


@pytest.mark.parametrize("name", SECRETS)
def test_variable_wins_over_its_file(name, tmp_path):
    (tmp_path / name.lower()).write_text("from-folder")
    assert (
        value_at(
            load(
                {name: "direct", f"{name}_FILE": str(tmp_path / name.lower())}, secrets_dir=tmp_path
            ),
            ENVIRONMENT[name][0],
        )
        == "direct"
    )


def test_missing_secret_file_is_named():
    message = sentence({"API_KEY_FILE": "/nonexistent/key"})
    assert "API_KEY_FILE" in message
    assert "/nonexistent/key" in message


def test_secrets_are_not_shown(tmp_path):
    shown = repr(load({"API_KEY": "hidden-1", "XAI_API_KEY": "hidden-2"}))
    assert "hidden" not in shown
    assert "hidden" not in sentence({"API_KEY": "hidden-1", "PORT": "many"})


def test_prices_are_optional(tmp_path):
    """Dollars per million tokens; none are given by default."""
    file = tmp_path / "own.yaml"
    file.write_text(
        "backends:\n  a: {url: http://h, model: m, price: {input: 3, cached: 0.75}}\n"
        "  b: {url: http://h}\nroutes: {primary: {backends: [a, b]}}\n"
    )
    backends = load(file=file).backends
    assert backends["a"].price.model_dump() == {"input": 3.0, "output": 0.0, "cached": 0.75}
    assert backends["b"].price.model_dump() == {"input": 0.0, "output": 0.0, "cached": None}
