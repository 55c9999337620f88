"""Carrying a plan out: speculation, enrichment, attempts, relaying."""
