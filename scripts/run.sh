#!/bin/sh
# Start the router; where no backend is configured, a simulator with it.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter run
