#!/usr/bin/env bash
# Every check and measurement that needs a GPU: correctness first, then speed. Needs CUDA and the requirements.
#
#   benchmarks/gpu.sh                        # all of it, without a limit
#   benchmarks/gpu.sh 31b 26b_batch          # these parts alone, in the order given
#   LIMIT=120 benchmarks/gpu.sh tests        # at most 120 s a step; benchmarks keep what they had measured by then
#
# Parts: tests, bf16, 31b, 26b, draft_cost, 31b_batch, 26b_batch. Each result holds the floor and the strength of its passes.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
PARTS=(tests bf16 31b 26b draft_cost 31b_batch 26b_batch)
status=0
step() { echo "== $*"; timeout "${LIMIT:-0}" "$@" || { echo "-- ended with $?: $*"; status=1; }; }
part() {
  case $1 in
    tests) step "$PYTHON" -m pytest -q -m cuda tests ;;
    bf16) step "$PYTHON" -m harness execution=eager target.dtype=bfloat16 dataset.limit=14 hydra.run.dir=outputs/gpu_bf16 ;;
    31b) step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 3 --peer --profile ;;
    26b) step "$PYTHON" -m benchmarks.gpu --size 26B-A4B --repeats 3 --peer --profile ;;
    draft_cost) step "$PYTHON" -m benchmarks.draft_cost --family 31B --k 1,15 --tokens 32 --repeats 2 ;;
    31b_batch) step "$PYTHON" -m benchmarks.gpu --size 31B --repeats 2 --batch 16 ;;
    26b_batch) step "$PYTHON" -m benchmarks.gpu --size 26B-A4B --repeats 2 --batch 16 ;;
    *) echo "part is '$1', expected one of ${PARTS[*]}" >&2; exit 2 ;;
  esac
}
for name in "$@"; do [[ " ${PARTS[*]} " == *" $name "* ]] || part "$name"; done
for name in "${@:-${PARTS[@]}}"; do part "$name"; done
exit $status
