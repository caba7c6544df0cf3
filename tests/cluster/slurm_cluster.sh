#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, of Debian's packages slurmctld, slurmd, slurm-client and munge, as root:
#   tests/cluster/slurm_cluster.sh start DIR    then: export SLURM_CONF=DIR/slurm.conf
#   tests/cluster/slurm_cluster.sh stop DIR
# Keys, sockets, logs and process ids live in DIR, so that a cluster of the machine's own is not touched.
set -euo pipefail
ACTION=${1:?start or stop} DIR=$(realpath -m "${2:?a folder}")

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() {
    mkdir -p "$DIR"/{munge,state,spool}
    chmod 700 "$DIR/munge"
    dd if=/dev/urandom of="$DIR/munge/key" bs=1024 count=1 status=none
    chmod 600 "$DIR/munge/key"
    # --force: the folder may lie below a temporary folder that others can write to.
    munged --force --key-file="$DIR/munge/key" --socket="$DIR/munge/socket" --pid-file="$DIR/munge.pid" \
        --log-file="$DIR/munge/log" --seed-file="$DIR/munge/seed"
    # cred_expire: a job that is requeued waits so many seconds. KillWait: so many from SIGTERM to SIGKILL.
    cat >"$DIR/slurm.conf" <<CONF
ClusterName=one-node
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=30
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES State=UP
CONF
    export SLURM_CONF=$DIR/slurm.conf
    slurmctld -c
    slurmd
    for _ in $(seq 60); do
        [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]] && return
        sleep 0.5
    done
    echo "error: the node is not idle after 30 s; see $DIR/slurmctld.log and $DIR/slurmd.log" >&2
    exit 1
}

stop() {
    for name in slurmd slurmctld munge; do
        [[ -f $DIR/$name.pid ]] && kill "$(<"$DIR/$name.pid")" 2>/dev/null || true
    done
}

case $ACTION in
    start) start ;;
    stop) stop ;;
    *) echo "error: $ACTION is neither start nor stop" >&2; exit 2 ;;
esac
