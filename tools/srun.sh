# Sourced by slurm_train.sh and slurm_test.sh: one task per GPU, or with GPUS=0 TASKS tasks on CPUs.
source "$(dirname "${BASH_SOURCE[0]}")/python.sh"

run_on_slurm() {
    command -v srun >/dev/null || { echo 'error: no srun here; on a machine without slurm use tools/dist_train.sh' >&2; exit 2; }
    local gpus=${GPUS:-8} resources
    # mmengine's default, 29500 for every job, collides as soon as two jobs share a node.
    export MASTER_PORT=${MASTER_PORT:-${PORT:-$((20000 + RANDOM % 20000))}}
    if [[ $gpus == 0 ]]; then
        local cpus=${CPUS_PER_TASK:-1}
        export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$cpus}  # else each task starts as many threads as the node has cores
        resources=(--ntasks="${TASKS:?GPUS=0 needs TASKS, the number of processes}" --cpus-per-task="$cpus")
    else
        local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
        resources=(--gres=gpu:"$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node"
            --cpus-per-task="${CPUS_PER_TASK:-5}")
    fi
    # SRUN_ARGS is a list of options: it is split into words on purpose.
    # shellcheck disable=SC2086
    exec srun -p "$PARTITION" --job-name="$JOB_NAME" "${resources[@]}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$@"
}
