"""What a client asks for by a header or the model's name: a route, a task."""

from airouter.domain.errors import BadRequest
from airouter.domain.labels import ROUTES
from airouter.domain.tasks import TASKS

THINKING = ("off", "low", "medium", "high")


def forced_route(model: str | None, header: str | None, virtual_model: str) -> str | None:
    """The route forced by the header X-Router-Route or the model name `ai-router/<route>`; None if
    there is none.

    Raises:
        BadRequest: the route does not exist.
    """
    wanted = header.strip().lower() if header else None
    if wanted is None:
        wanted = _suffix(model, virtual_model)
        if wanted in TASKS:
            return None
    if wanted in (None, "", "auto"):
        return None
    if wanted not in ROUTES:
        where = "header X-Router-Route" if header else "model"
        tasks = "" if header else f", or a task: {', '.join(TASKS)}"
        raise BadRequest(
            f"The route {wanted[:40]!r} in the {where} does not exist; "
            f"use auto, {', '.join(ROUTES)}{tasks}.",
            param="model",
            code="unknown_route",
        )
    return wanted


def named_thinking(model: str | None, virtual_model: str) -> tuple[str | None, str | None]:
    """(the model, how much to reason) of a name that says both, such as `ai-router:low` and
    `ai-router/primary:off`; (the name, None) of any other."""
    if model is not None and model.startswith(virtual_model):
        name, _, level = model.rpartition(":")
        if level.lower() in THINKING and (name == virtual_model or _suffix(name, virtual_model)):
            return name, level.lower()
    return model, None


def stated_task(model: str | None, header: str | None, virtual_model: str) -> str | None:
    """The task that the header X-Router-Task states, or the model name `ai-router/<task>`; None if
    neither does.

    Raises:
        BadRequest: the task in the header does not exist.
    """
    wanted = header.strip().lower() if header else ""
    if not wanted:
        suffix = _suffix(model, virtual_model)
        return suffix if suffix in TASKS else None
    if wanted not in TASKS:
        raise BadRequest(
            f"The task {wanted[:40]!r} in the header X-Router-Task does not exist; "
            f"use {', '.join(TASKS)}.",
            code="unknown_task",
        )
    return wanted


def _suffix(model: str | None, virtual_model: str) -> str | None:
    if model and model.startswith(f"{virtual_model}/"):
        return model[len(virtual_model) + 1 :].lower()
    return None
