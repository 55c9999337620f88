"""How good the deciding is: measures, report and picture behind `python -m airouter evaluate`."""
