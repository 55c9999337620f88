"""Values, errors, labels, ports and the clock: what every other package speaks of."""
