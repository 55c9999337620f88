#!/bin/sh
# Create or update .venv with the router's dependencies; with the argument `dev`, also those of
# tests
# and checks. PYTHON=/path/to/python3.12 selects the interpreter.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "$1" >&2
    exit 1
}

fits() {  # whether "$1" is a supported Python
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

complete() {  # whether "$1" can create environments: some distributions package venv separately
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

choose_python() {  # prints the interpreter, or an error message
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13; \
set PYTHON to one, or unset it."
        complete "$PYTHON" || fail "PYTHON=$PYTHON lacks the modules venv and ensurepip; \
install python3-venv (Debian, Ubuntu: apt install python3-venv)."
        echo "$PYTHON"
        return
    fi
    lacking=
    for candidate in python3.13 python3.12 python3.11 python3; do
        fits "$candidate" || continue
        if complete "$candidate"; then
            echo "$candidate"
            return
        fi
        lacking=${lacking:-$candidate}
    done
    [ -z "$lacking" ] || fail "$lacking lacks the modules venv and ensurepip; \
install python3-venv (Debian, Ubuntu: apt install python3-venv)."
    fail "No Python 3.11, 3.12 or 3.13 was found; install one, or set PYTHON=/path/to/python3."
}

stamp_for() {  # identifies an environment made from these files with this Python
    { .venv/bin/python -c 'import sys; print(sys.version)'; cat "$@"; } | cksum
}

case ${1:-} in
    '') files=requirements.txt; stamp=.venv/.requirements ;;
    dev) files='requirements.txt requirements-dev.txt'; stamp=.venv/.requirements-dev ;;
    *) fail "usage: scripts/venv.sh [dev]" ;;
esac

# A pip of 2023, as Python 3.11 and 3.12 bring it, takes twice as long to choose among the files of
# a package. Where there is no newer one to be had, it does as well.
pip_options='--quiet --disable-pip-version-check --no-input'
new_pip="install $pip_options pip>=26"

make_venv() {  # with the interpreter "$1"
    # shellcheck disable=SC2086
    # Fetching pip with the interpreter's own takes half as long as unpacking the one of venv.
    "$1" -m venv --clear --without-pip .venv \
        && "$1" -m pip --python .venv/bin/python $new_pip >/dev/null 2>&1 \
        && return
    "$1" -m venv --clear .venv || return 1
    # shellcheck disable=SC2086
    .venv/bin/python -m pip $new_pip >/dev/null 2>&1 || true
}

usable() {  # not after an interrupted run (no Python or pip), or if a system upgrade broke it
    fits .venv/bin/python && .venv/bin/python -c 'import pip' >/dev/null 2>&1 || return 1
    [ -z "${PYTHON:-}" ] && return
    release='import sys; print(sys.version_info[:2])'
    [ "$("$PYTHON" -c "$release" 2>/dev/null)" = "$(.venv/bin/python -c "$release")" ]
}

if ! usable; then
    python=$(choose_python)
    echo "Making .venv with $("$python" --version) …"
    make_venv "$python" || fail "Making .venv failed (its reason is above); \
remove the folder .venv and try again."
fi

# shellcheck disable=SC2086  # a list of names without spaces
wanted=$(stamp_for $files)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0

last=${files##* }
echo "Installing what $last names (a minute or two the first time) …"
rm -f "$stamp"
# Without compiling: Python compiles what it imports, which is a third of what is installed.
.venv/bin/python -m pip install $pip_options --no-compile -r "$last" \
    || fail "Installing $last failed (pip's reason is above); \
if the network was the reason, try again: what is there already is kept."
echo "$wanted" >"$stamp"
[ "${1:-}" != dev ] || stamp_for requirements.txt >.venv/.requirements
