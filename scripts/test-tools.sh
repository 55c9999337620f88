#!/bin/sh
# Test ./Benchmark and the load test end to end; arguments are passed to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest -n auto --dist loadfile -m tools "$@"
