#!/bin/sh
# Remove what the commands made and can make again: environments and caches. Logs stay.
set -eu
cd "$(dirname "$0")/.."
rm -rf .venv .venv-real .venv-real-vllm .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
