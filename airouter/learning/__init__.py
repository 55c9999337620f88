"""Learning from the router's own sessions: examples, training, the gate, shadow and live checks."""
