#!/bin/sh
# Run the tests of streams, failover and clients that leave with a thread per request, as under any
# WSGI server that knows nothing of flows; arguments are passed to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
export GUNICORN_CMD_ARGS="--worker-class=gthread --threads=64"
exec .venv/bin/python -m pytest -n auto --dist loadfile -m 'not tools and not quick' \
    tests/failover tests/proxy tests/api/test_chat.py tests/api/test_streaming.py \
    tests/api/test_sessions_and_lines.py tests/api/test_passthrough.py "$@"
