"""Simulates the HTTP backends of a router: vLLM (classifier and primary), Ollama, xAI/OpenAI."""

ROLES: tuple[str, ...] = ("router", "primary", "xai", "ollama", "embedding")
