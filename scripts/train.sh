#!/bin/sh
# Train the learned tier from data/prompts/ and write data/model/ with its model card.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
.venv/bin/python -m learn.check_data
exec .venv/bin/python -m learn.train "$@"
