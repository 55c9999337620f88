#!/bin/sh
# Run a realistic load test and judge it by service levels: sh scripts/load.sh --help
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m load "$@"
