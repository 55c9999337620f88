"""The cascade's tiers, one file each; their order is the list in `cascade.py`."""
