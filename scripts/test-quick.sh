#!/bin/sh
# Run the tests that start no process; arguments are passed to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest -m quick "$@"
