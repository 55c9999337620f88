"""Finished requests, read from the index and the session files, for the command line."""
