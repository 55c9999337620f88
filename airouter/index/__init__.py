"""The index of requests: what is known about each finished request, but no text, in one embedded
database that can be queried."""
