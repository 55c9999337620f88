"""Decides which route a request takes: a cascade of tiers."""
