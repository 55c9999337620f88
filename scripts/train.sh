#!/bin/sh
# Trains the learned tier from data/prompts/ and writes data/model/ with its card.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
.venv/bin/python -m learn.check_data
exec .venv/bin/python -m learn.train "$@"
