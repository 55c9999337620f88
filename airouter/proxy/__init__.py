"""Answers a request: decides, speculates, enriches, fails over, streams, recovers."""
