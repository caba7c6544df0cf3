#!/usr/bin/env bash
# Evaluate on a slurm cluster:
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS="..."] tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options]
# On CPUs: GPUS=0 TASKS=4.
set -euo pipefail
if [[ $# -lt 4 ]]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]" >&2
    exit 2
fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 CHECKPOINT=$4
source "$(dirname "${BASH_SOURCE[0]}")/srun.sh"
run_on_slurm "$ROOT/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "${@:5}"
