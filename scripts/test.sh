#!/bin/sh
# Run the tests, several at a time; arguments go to pytest (`-n 0`: one at a time).
# What measures by whole commands, and takes longer, has its own: scripts/test-tools.sh.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not tools' "$@"
