"""Limiter, queue, circuit breaker, pause and retry budget of a backend."""
