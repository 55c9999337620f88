"""A request under way: what it waits for, and the owner of what it holds."""
