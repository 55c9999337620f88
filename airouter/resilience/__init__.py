"""What keeps a backend and its callers from hurting each other."""
