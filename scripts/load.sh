#!/bin/sh
# Put the router under realistic load and judge it by its service levels: sh scripts/load.sh --help
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m load "$@"
