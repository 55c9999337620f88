#!/bin/sh
# Check format, lint, types and import rules; runs all checks before reporting which failed.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

failed=
step() {
    name=$1
    shift
    echo "== $name"
    # As modules, because .venv/bin/… scripts contain the path at which they were installed.
    .venv/bin/python "$@" </dev/null || failed="$failed, $name"
}

step 'ruff format' -m ruff format --check .
step 'ruff check' -m ruff check .
step mypy -m mypy
step 'import rules' -c 'from importlinter.cli import lint_imports_command as check; check()'

if [ -n "$failed" ]; then
    echo "Failed: ${failed#, }" >&2
    exit 1
fi
echo 'All checks passed.'
