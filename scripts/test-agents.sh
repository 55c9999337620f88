#!/bin/sh
# Test coding agents, as published, against the router before a scripted model: Claude Code, Codex,
# OpenCode, Continue, and Anthropic's JavaScript library. The first time their packages are
# installed into .node-agents: two minutes and 1.1 GB. Needs Node 20 or later with npm. Arguments go
# to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

folder=.node-agents
packages='@anthropic-ai/claude-code@2.1.197 @openai/codex@0.171.0 @anthropic-ai/sdk@1.14.0
    opencode-ai@1.18.33 @continuedev/cli@1.5.47'
modules="$folder/node_modules"
stamp="$folder/.installed"

if [ "$(cat "$stamp" 2>/dev/null)" != "$packages" ]; then
    command -v npm >/dev/null || { echo 'Node 20 or later with npm is needed.' >&2; exit 1; }
    echo "Installing the agents into $folder (about two minutes) …"
    mkdir -p "$folder"
    [ -f "$folder/package.json" ] || echo '{"private": true}' >"$folder/package.json"
    # The two scripts put a program in its place.
    # shellcheck disable=SC2086 # several packages
    if ! npm install --prefix "$folder" --save-exact --ignore-scripts --no-audit --no-fund \
        --loglevel=error $packages \
        || ! node "$modules/@anthropic-ai/claude-code/install.cjs" \
        || ! node "$modules/opencode-ai/postinstall.mjs"; then
        echo "Installing the agents failed (npm's reason is above); try again." >&2
        exit 1
    fi
    echo "$packages" >"$stamp"
fi

exec .venv/bin/python -m pytest -m agents tests/agents "$@"
