"""The learned tier's model and its features."""
