"""HTTP surface: the exchange owner at the WSGI edge and one Blueprint per concern."""
