"""Deciding: what a request looks like, which tier decides its route, and the plan that follows."""
