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
# The ten files with most branches that are taken one way only, and the total.
report=$(dirname "$COVERAGE_FILE")/report
.venv/bin/python -m coverage report --sort=-brpart >"$report" || status=1
sed -n '1,12p;$p' "$report"
exit "$status"
