"""Asks backends what they can do, and compares that with the configuration."""
