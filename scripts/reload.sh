#!/bin/sh
# Have the running router take up its changed configuration.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh
exec .venv/bin/python -m airouter reload
