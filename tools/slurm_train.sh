#!/usr/bin/env bash
# Train on a slurm cluster:
#   [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS="..."] tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options]
# On CPUs: GPUS=0 TASKS=4. In a job that may be pre-empted, --resume goes on from the last checkpoint:
#   sbatch --requeue -p PARTITION -n 2 --wrap "GPUS=0 TASKS=2 tools/slurm_train.sh PARTITION NAME CONFIG WORK_DIR --resume"
set -euo pipefail
if [[ $# -lt 4 ]]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
source "$(dirname "${BASH_SOURCE[0]}")/srun.sh"
run_on_slurm "$ROOT/tools/train.py" "$CONFIG" --work-dir "$WORK_DIR" --launcher slurm "${@:5}"
