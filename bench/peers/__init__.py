"""`./Benchmark peers`: other gateways beside ai-router, on one machine, before one backend, in one
interleaved run."""
