#!/bin/sh
# Run the tests of ./Benchmark and of the load test, as whole commands; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest -m tools "$@"
