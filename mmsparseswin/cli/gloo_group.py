"""Start-up of a distributed run on CPUs: mmengine's own selects a CUDA device for each process."""

import os
import subprocess

from torch import distributed

from mmsparseswin.errors import InputError


def join_gloo(launcher: str) -> None:
    """Join the gloo group of this run, whose processes torchrun ('pytorch') or srun ('slurm') has started.

    Raises:
        InputError: srun has not started this process.
    """
    if launcher == 'slurm':
        _read_slurm()
    distributed.init_process_group('gloo')


def _read_slurm() -> None:
    """Translate srun's environment into the one that torch.distributed reads."""
    try:
        os.environ.update(
            RANK=os.environ['SLURM_PROCID'],
            WORLD_SIZE=os.environ['SLURM_NTASKS'],
            LOCAL_RANK=os.environ['SLURM_LOCALID'],
        )
        nodes = os.environ['SLURM_STEP_NODELIST']
    except KeyError as missing:
        raise InputError(f'--launcher slurm: no {missing} in the environment; start by tools/slurm_train.sh') from None
    if 'MASTER_ADDR' not in os.environ:
        names = subprocess.run(['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True)
        os.environ['MASTER_ADDR'] = names.stdout.split()[0]
    os.environ.setdefault('MASTER_PORT', '29500')
