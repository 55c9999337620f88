"""From a decision to a plan: the route, the decision matrix, the backends in order."""

from airouter.planning.planner import Planner
from airouter.planning.wishes import forced_route, named_thinking, stated_task

__all__ = ["Planner", "forced_route", "named_thinking", "stated_task"]
