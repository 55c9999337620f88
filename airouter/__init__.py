"""The ai-router library: deciding, speculating, cancelling and relaying. Composed by `app.py`."""

__version__ = "0.1.0"
