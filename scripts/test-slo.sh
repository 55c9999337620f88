#!/bin/sh
# Test the endpoints given by LLM_*_URL against their service levels; by default, the simulator.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
exec .venv/bin/python -m bench.slo_suite "$@"
