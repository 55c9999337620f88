#!/bin/sh
# Run the tests; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m pytest "$@"
