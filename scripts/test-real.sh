#!/bin/sh
# Test the router against a real inference server: llama.cpp's, with a tiny generated model of
# random weights. The server is compiled into .venv-real on first use, which takes minutes and a C++
# compiler.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

if ! .venv-real/bin/python -c 'import gguf, llama_cpp.server' >/dev/null 2>&1; then
    command -v c++ >/dev/null || {
        echo "No C++ compiler was found; install one (Debian, Ubuntu: apt install g++)." >&2
        exit 1
    }
    echo 'Compiling the inference server into .venv-real (about 6 minutes on 2 cores) …'
    .venv/bin/python -m venv --clear .venv-real
    # Portable code: the environment may be cached and used on another processor.
    CMAKE_ARGS=-DGGML_NATIVE=OFF .venv-real/bin/python -m pip install --quiet \
        --disable-pip-version-check --no-input \
        'llama-cpp-python[server]>=0.3,<0.4' gguf \
        || {
            echo "Building the inference server failed (see pip's output above); fix this and" \
                "try again." >&2
            exit 1
        }
fi

exec .venv/bin/python -m pytest -m real tests/real "$@"
