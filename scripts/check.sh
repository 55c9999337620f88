#!/bin/sh
# Format, lint, types, import rules: all of them, and all findings, before it says which failed.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

failed=
step() {
    name=$1
    shift
    echo "== $name"
    # As modules and not as .venv/bin/…: those name the folder in which they were installed.
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
