"""Backends, and the only way to call one."""
