"""What `./Benchmark` runs: one file per benchmark, and what they share (client, stand, statistics, results)."""
