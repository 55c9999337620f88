#!/bin/sh
# Start the router alone, as a service does.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter serve
