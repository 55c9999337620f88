"""Realistic load with a verdict per service level: `python -m load --help`. Locust sends it, this
package judges it."""
