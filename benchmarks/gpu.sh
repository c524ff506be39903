#!/usr/bin/env bash
# Everything that only a GPU can tell, in one command on a bare machine with CUDA: correctness first, then speed.
# Each step is bounded, so that the whole stays within ten minutes on an H100.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
status=0
step() { echo "== $*"; timeout "$LIMIT" "$@" || { echo "-- ended with $?: $*"; status=1; }; }
LIMIT=120 step "$PYTHON" -m pytest -q -m cuda tests
LIMIT=170 step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 3 --peer
LIMIT=130 step "$PYTHON" -m benchmarks.gpu --size 26B-A4B --repeats 3 --peer
LIMIT=120 step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 2 --batch 16
exit $status
