#!/bin/sh
# Start the router in the foreground, for service managers.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter serve
