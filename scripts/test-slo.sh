#!/bin/sh
# Run the endpoints' service level tests: against the LLM_*_URL that are set, and where none is, against the simulator.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m bench.slo_suite "$@"
