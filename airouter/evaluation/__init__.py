"""Accuracy of routing decisions: measures, report and chart of `python -m airouter evaluate`."""
