#!/bin/sh
# Remove environments and caches, which the commands recreate. Logs are kept.
set -eu
cd "$(dirname "$0")/.."
rm -rf .venv .venv-real .venv-real-vllm .venv-browser .node-agents .pytest_cache .mypy_cache \
    .ruff_cache .import_linter_cache .hypothesis
find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
