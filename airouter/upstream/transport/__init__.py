"""One HTTP call, the connections behind it, and decompression."""
