#!/bin/sh
# Run the tests as scripts/test.sh does, measuring which branches of airouter/ they take, also in the
# routers that they start. Prints the total and the files with most missed branches; fails below the
# goal in pyproject.toml. Takes up to twice as long as scripts/test.sh.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

COVERAGE_FILE=$(mktemp -d)/data
export COVERAGE_FILE
trap 'rm -rf "$(dirname "$COVERAGE_FILE")"' EXIT
status=0
.venv/bin/python -m coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder \
    -m 'not tools' "$@" || status=$?
.venv/bin/python -m coverage combine --quiet
.venv/bin/python scripts/coverage_summary.py || status=1
exit "$status"
