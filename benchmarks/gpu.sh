#!/usr/bin/env bash
# Everything that only a GPU can tell, in one command on a bare machine with CUDA: correctness first, then speed.
# Each step has its own limit, so that the whole stays within ten minutes; what a step had measured by then is kept.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
status=0
step() { echo "== $*"; timeout "$LIMIT" "$@" || { echo "-- ended with $?: $*"; status=1; }; }
LIMIT=110 step "$PYTHON" -m pytest -q -m cuda tests
LIMIT=40 step "$PYTHON" -m harness execution=eager target.dtype=bfloat16 dataset.limit=14 hydra.run.dir=outputs/gpu_bf16
LIMIT=160 step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 3 --peer --profile
LIMIT=135 step "$PYTHON" -m benchmarks.gpu --size 26B-A4B --repeats 3 --peer --profile
LIMIT=75 step "$PYTHON" -m benchmarks.draft_cost --family 31B --k 1,15 --tokens 32 --repeats 2
LIMIT=70 step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 2 --batch 16
exit $status
