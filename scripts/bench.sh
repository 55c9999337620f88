#!/bin/sh
# Measure: `bench.sh profile` where a request's time goes, anything else is a subcommand of ./Benchmark.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
if [ "${1:-}" = profile ]; then
    exec .venv/bin/python -m bench "$@"
fi
exec ./Benchmark "$@"
