"""What the values of `metadata.task` mean by which frontends say what a request is for."""

import re

# Values of metadata.task for ordinary chat.
_ORDINARY_TASKS = frozenset({"chat", "chat_completion", "default", "user_chat"})
# Values of metadata.task by which frontends mark their housekeeping: those of Open WebUI 0.12
# (title_generation, moa_response_generation, function_calling, …) and what others call the same.
_HOUSEKEEPING = re.compile(
    r"(?:^|[_\-. ])(?:generat\w+|titles?|tags?|emojis?|quer(?:y|ies)|follow[_\-. ]?ups?|summar\w+"
    r"|autocomplet\w+|suggest\w+|compact\w+|memor\w+|function_calling|moa\w*)(?:$|[_\-. ])"
)


def is_ordinary(task: str) -> bool:
    """Whether a `metadata.task`, in lower case, means an ordinary chat."""
    return task in _ORDINARY_TASKS


def is_housekeeping(task: str) -> bool:
    """Whether a `metadata.task`, in lower case, is a frontend's for a prompt of its own."""
    return _HOUSEKEEPING.search(task) is not None
