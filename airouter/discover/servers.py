"""Recognises a model server by endpoints that only its kind has, and reads its models."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from airouter.discover.listed_models import Model, is_name, size_of, tokens, use_of, words
from airouter.doctor.http import Answer, Server, quoted
from airouter.doctor.subject import get
from airouter.upstream.backend import model_names, window_of

_MOST_SHOWN = 40  # models of which Ollama is asked for details
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)
_SELF = "ai-router"


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that was recognised.

    `product`: its name, "" if it is only known to speak OpenAI's API. `kind`: the backend's.
    `slots`: requests that it answers at the same time, None if it does not say. `wants_key`:
    whether its list of models needs a key.
    """

    url: str
    product: str
    kind: str
    version: str = ""
    models: tuple[Model, ...] = ()
    slots: int | None = None
    wants_key: bool = False

    def with_use(self, use: str) -> list[Model]:
        """Its models for chat or embeddings; none that a third party runs."""
        return [each for each in self.models if each.use == use and not each.remote]

    @property
    def title(self) -> str:
        if self.product:
            return f"{self.product} {self.version}".rstrip()
        return "a server of an unknown kind" if self.wants_key else "an OpenAI-compatible server"


def recognise(server: Server) -> ModelServer | None:
    """What answers at a server's URL; None if it is no model server, or a router like this one."""
    listed = server.get("/v1/models")
    if listed.status is None or get(server.get("/").json(), "name") == _SELF:
        return None
    for ask in _PRODUCTS:
        found = ask(server, listed)
        if found is not None:
            return replace(found, version=quoted(found.version)[:40])
    models = _listed(listed)
    wants_key = _refused(listed) and isinstance(listed.json(), dict)
    if not models and not wants_key:
        return None
    return ModelServer(server.url, "", "openai", models=models, wants_key=wants_key)


def _listed(answer: Answer) -> tuple[Model, ...]:
    """The models of /v1/models, without adapters and second names of the same model."""
    entries = get(answer.json(), "data")
    seen: set[Any] = set()
    models = []
    for name in model_names(answer.body) if answer.ok else ():
        entry = next(each for each in entries if get(each, "id") == name)
        root = get(entry, "root") if get(entry, "owned_by") == "vllm" else None
        root = root if isinstance(root, str) else name
        if get(entry, "parent") is not None or root in seen or not is_name(name):
            continue
        seen.add(root)
        window = window_of(answer.body, name)
        parameters = get(entry, "meta", "n_params")  # llama.cpp
        billions = parameters / 1e9 if isinstance(parameters, int) else None
        models.append(
            Model(
                name,
                billions or size_of(name) or size_of(root),
                window,
                window is not None,
                use_of(name),
            )
        )
    return tuple(models)


def _refused(answer: Answer) -> bool:
    return answer.status in (401, 403)


def _sglang(server: Server, listed: Answer) -> ModelServer | None:
    info = _either(server, "/get_model_info", "/model_info")
    if not isinstance(get(info, "model_path"), str) or get(info, "is_generation") is None:
        return None
    details = _either(server, "/get_server_info", "/server_info")
    use = "chat" if get(info, "is_generation") else "embeddings"
    sees = get(info, "has_image_understanding")
    models = tuple(
        replace(
            each,
            use=use,
            vision=sees if isinstance(sees, bool) else None,
            billions=each.billions or size_of(info["model_path"]),
        )
        for each in _listed(listed)
    )
    return ModelServer(
        server.url,
        "SGLang",
        "openai",
        _text(get(details, "version")),
        models,
        _count(get(details, "max_running_requests")),
        _refused(listed),
    )


def _llama_cpp(server: Server, listed: Answer) -> ModelServer | None:
    answer = server.get("/props")
    props = answer.json() if answer.ok else None
    if not isinstance(get(props, "default_generation_settings"), dict):
        return None
    window = tokens(props, "default_generation_settings", "n_ctx")  # of one slot
    sees = get(props, "modalities", "vision")
    models = tuple(
        replace(
            each,
            window=window,
            listed_window=False,
            vision=sees if isinstance(sees, bool) else None,
        )
        for each in _listed(listed)
    )
    slots = _count(get(props, "total_slots"))
    version = _text(get(props, "build_info"))
    return ModelServer(server.url, "llama.cpp", "openai", version, models, slots, _refused(listed))


def _lm_studio(server: Server, _: Answer) -> ModelServer | None:
    answer = server.get("/api/v0/models")
    entries = get(answer.json(), "data") if answer.ok else None
    if not isinstance(entries, list) or not any(_text(get(each, "state")) for each in entries):
        return None
    models = []
    # Loaded ones first: of two equals, the first is taken.
    for entry in sorted(entries, key=lambda each: get(each, "state") != "loaded"):
        name, sort = get(entry, "id"), get(entry, "type")
        if not is_name(name):
            continue
        loaded = get(entry, "state") == "loaded"
        window = tokens(entry, "loaded_context_length") if loaded else None
        use = {"llm": "chat", "vlm": "chat", "embeddings": "embeddings"}.get(_text(sort), "other")
        abilities = (*words(get(entry, "capabilities")), "loaded" if loaded else "not loaded")
        models.append(
            Model(
                name,
                size_of(name),
                window,
                use=use if use_of(name) != "other" else "other",
                vision=sort == "vlm",
                abilities=abilities,
            )
        )
    return ModelServer(server.url, "LM Studio", "openai", models=tuple(models))


def _hugging_face(server: Server, _: Answer) -> ModelServer | None:
    """Text Generation Inference, and Text Embeddings Inference."""
    answer = server.get("/info")
    info = answer.json() if answer.ok else None
    name = get(info, "model_id")
    if not is_name(name):
        return None
    slots, version = _count(get(info, "max_concurrent_requests")), _text(get(info, "version"))
    sort = get(info, "model_type")
    if isinstance(sort, dict):
        use = "embeddings" if "embedding" in sort else "other"
        model = Model(name, size_of(name), tokens(info, "max_input_length"), use=use)
        return ModelServer(server.url, "TEI", "openai", version, (model,), slots)
    window = tokens(info, "max_total_tokens")
    if window is None and get(info, "max_input_tokens") is None:
        return None
    model = Model(name, size_of(name), window)
    return ModelServer(server.url, "TGI", "openai", version, (model,), slots)


def _ollama(server: Server, _: Answer) -> ModelServer | None:
    version, tags = server.get("/api/version"), server.get("/api/tags")
    # Both: Open WebUI has the first, llama.cpp's server the second.
    entries = get(tags.json(), "models") if tags.ok else None
    said = get(version.json(), "version") if version.ok else None
    if not isinstance(said, str) or not isinstance(entries, list):
        return None
    running = get(server.get("/api/ps").json(), "models")
    windows = {
        get(each, "name"): tokens(each, "context_length")
        for each in (running if isinstance(running, list) else ())
        if isinstance(get(each, "name"), str)
    }
    models = tuple(
        _of_ollama(server, entry, windows, show=index < _MOST_SHOWN)
        for index, entry in enumerate(entries)
        if is_name(get(entry, "name"))
    )
    return ModelServer(server.url, "Ollama", "ollama", said, models)


def _of_ollama(server: Server, entry: Any, windows: dict[Any, Any], *, show: bool) -> Model:
    name = entry["name"]
    shown = server.post("/api/show", {"model": name}).json() if show else None
    abilities = words(get(shown, "capabilities"))
    use = use_of(name)
    if abilities and use != "other":
        use = "chat" if "completion" in abilities else "other"
        use = "embeddings" if "embedding" in abilities else use
    stated = _NUM_CTX.search(_text(get(shown, "parameters")))
    return Model(
        name,
        size_of(get(entry, "details", "parameter_size")) or size_of(name),
        windows.get(name) or (int(stated[1]) if stated and int(stated[1]) >= 256 else None),
        use=use,
        vision="vision" in abilities if abilities else None,
        abilities=abilities,
        remote=bool(get(entry, "remote_host")) or bool(re.search(r"[:-]cloud$", name)),
    )


def _vllm(server: Server, listed: Answer) -> ModelServer | None:
    answer = server.get("/version")
    version = get(answer.json(), "version") if answer.ok else None
    owner = get(listed.json(), "data", 0, "owned_by")
    if not isinstance(version, str) or not (owner == "vllm" or _refused(listed)):
        return None
    if not server.get("/health").ok:  # by which the router tells whether it is up
        return None
    wants_key = _refused(listed)
    return ModelServer(server.url, "vLLM", "vllm", version, _listed(listed), wants_key=wants_key)


def _either(server: Server, *paths: str) -> Any:
    """The JSON of the first path that answers: a newer version has renamed it."""
    for path in paths:
        answer = server.get(path)
        if answer.ok:
            return answer.json()
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return min(value, 10_000) if isinstance(value, int) and value > 0 else None


# The first that recognises a server is right: SGLang and llama.cpp imitate Ollama's endpoints, too.
_PRODUCTS: tuple[Callable[[Server, Answer], ModelServer | None], ...] = (
    _sglang,
    _llama_cpp,
    _lm_studio,
    _hugging_face,
    _ollama,
    _vllm,
)
