#!/usr/bin/env bash
# Evaluate on GPUS GPUs of this machine, or with GPUS processes where there is no GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Several machines: as tools/dist_train.sh.
set -euo pipefail
if [[ $# -lt 3 ]]; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$PYTHON" "$ROOT/tools/launch.py" "$GPUS" "$ROOT/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
