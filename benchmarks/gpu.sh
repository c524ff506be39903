#!/usr/bin/env bash
# Every check and measurement that needs a GPU: correctness first, then speed. Needs CUDA and the requirements.
#
#   benchmarks/gpu.sh               # all of it, without a limit
#   LIMIT=120 benchmarks/gpu.sh     # at most 120 s a step; benchmarks keep what they had measured by then
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
status=0
step() { echo "== $*"; timeout "${LIMIT:-0}" "$@" || { echo "-- ended with $?: $*"; status=1; }; }
step "$PYTHON" -m pytest -q -m cuda tests
step "$PYTHON" -m harness execution=eager target.dtype=bfloat16 dataset.limit=14 hydra.run.dir=outputs/gpu_bf16
step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 3 --peer --profile
step "$PYTHON" -m benchmarks.gpu --size 26B-A4B --repeats 3 --peer --profile
step "$PYTHON" -m benchmarks.draft_cost --family 31B --k 1,15 --tokens 32 --repeats 2
step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 2 --batch 16
exit $status
