#!/bin/sh
# Start the router, with a simulator if no backend is configured.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter run
