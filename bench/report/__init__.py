"""`./Benchmark report`: results as one page that needs nothing else, and as pictures."""
