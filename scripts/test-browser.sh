#!/bin/sh
# Test the dashboard in Chromium, against the router and the simulator. Playwright, which drives the
# browser, and axe-core, which looks for barriers, are installed into .venv-browser on first use.
# CHROMIUM=/path/to/chromium selects the browser. Screenshots go to logs/browser/.
set -eu
cd "$(dirname "$0")/.."

playwright=1.65.2
axe=4.14.1
CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
export CHROMIUM
[ -x "$CHROMIUM" ] || {
    echo "No browser was found at $CHROMIUM; install Chromium (Debian, Ubuntu: apt install" \
        "chromium), or set CHROMIUM to the path of Chromium or Chrome." >&2
    exit 1
}
sh scripts/venv.sh dev

if [ "$(cat .venv-browser/.versions 2>/dev/null)" != "$playwright $axe" ]; then
    command -v npm >/dev/null || {
        echo "npm was not found; install it (Debian, Ubuntu: apt install npm). It is needed to" \
            "download axe-core." >&2
        exit 1
    }
    echo 'Installing Playwright and axe-core into .venv-browser …'
    .venv/bin/python -m venv --clear .venv-browser
    .venv-browser/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        "playwright==$playwright" \
        && npm install --silent --no-audit --no-fund --ignore-scripts \
            --prefix .venv-browser/node "axe-core@$axe" \
        || {
            echo "Installing failed (the reason is above); fix this and try again." >&2
            exit 1
        }
    echo "$playwright $axe" >.venv-browser/.versions
fi

exec .venv/bin/python -m pytest -m browser tests/browser "$@"
