"""Talking to backends: sockets, calls that can be cancelled, server-sent events."""
