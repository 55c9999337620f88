"""Models tuned on the router's own sessions: their files, and which of them is used."""
