"""What `./Benchmark` runs: the benchmarks and what they share (client, stand, statistics)."""
