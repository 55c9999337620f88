"""Recipes that were compared; leave-one-origin-out over all prompts."""

TRIED: list[dict[str, float | str]] = []
