#!/usr/bin/env bash
# Train on GPUS GPUs of this machine, or with GPUS processes where there is no GPU:
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several machines: the same line on each, with NNODES, NODE_RANK, MASTER_ADDR and PORT set. CUDA_VISIBLE_DEVICES chooses GPUs.
set -euo pipefail
if [[ $# -lt 2 ]]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1 GPUS=$2
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$PYTHON" "$ROOT/tools/launch.py" "$GPUS" "$ROOT/tools/train.py" "$CONFIG" --launcher pytorch "${@:3}"
