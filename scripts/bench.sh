#!/bin/sh
# Run benchmarks: `bench.sh profile` shows where the time of a request goes; anything else is a
# subcommand of ./Benchmark; without one (`bench.sh --quick`), all of them.
set -eu
cd "$(dirname "$0")/.."
sh scripts/venv.sh dev
case ${1:-} in
    '' | -h | --help) ;;
    -*) set -- all "$@" ;;
esac
if [ "${1:-}" = profile ]; then
    exec .venv/bin/python -m bench "$@"
fi
if [ "${1:-}" = soak ]; then # 20,000 requests unless ARGS="--requests N"
    shift
    exec .venv/bin/python -m bench.soak "$@"
fi
exec ./Benchmark "$@"
