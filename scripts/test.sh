#!/bin/sh
# Run the tests in parallel; arguments are passed to pytest (`-n 0`: sequentially).
# COVERAGE=1 also measures which branches they take (scripts/coverage.sh).
# The longer end-to-end tests of benchmarks and load test are in scripts/test-tools.sh.
set -eu
cd "$(dirname "$0")/.."
[ -z "${COVERAGE:-}" ] || exec sh scripts/coverage.sh "$@"
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not tools' "$@"
