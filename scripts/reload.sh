#!/bin/sh
# Reload the configuration of the running router.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter reload
