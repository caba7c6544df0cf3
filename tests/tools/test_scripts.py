"""The shell scripts: real processes for training, stand-ins for slurm and uv."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import tiny

TOOLS = Path(__file__).parents[2] / 'tools'


def run_script(name: str, *args: object, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', TOOLS / name, *map(str, args)],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def stand_in(folder: Path, name: str, body: str) -> str:
    """Put a program `name` in front of PATH; returns the PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/usr/bin/env bash\n{body}\n')
    path.chmod(0o755)
    return f'{folder}:{os.environ["PATH"]}'


def test_two_processes_train_and_evaluate_and_options_keep_their_spaces(tmp_path):
    root = tiny.draw_coco(tmp_path / 'my data')
    config = tiny.write_detector(tmp_path, tmp_path / 'elsewhere')
    work_dir = tmp_path / 'a run'
    done = run_script(
        'dist_train.sh',
        config,
        2,
        '--work-dir',
        work_dir,
        '--cfg-options',
        f'data_root={root}',
        CUDA_VISIBLE_DEVICES='',
    )
    assert done.returncode == 0, done.stderr
    assert 'processes: 2' in done.stdout
    assert (
        'Epoch(train) [1][2/2]' in done.stdout
    )  # 4 images with objects and 1 without, 2 x 2 at once, the last repeated
    assert 'coco/bbox_mAP' in done.stdout
    assert (work_dir / 'epoch_1.pth').is_file()


def test_a_process_of_a_group_ends_as_python_does_and_without_destructors_of_threads(tmp_path):
    (tmp_path / 'tool.py').write_text(
        'import atexit\n'
        'from torch import distributed\n'
        'from mmsparseswin import cli\n'
        'def main():\n'
        f"    distributed.init_process_group('gloo', 'file://{tmp_path}/store', rank=0, world_size=1)\n"
        "    atexit.register(lambda: print('at exit', distributed.is_initialized()))\n"
        'cli.run_tool(main)\n'
        "print('C++ ends, too')\n"
    )
    done = subprocess.run([sys.executable, tmp_path / 'tool.py'], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, 'at exit False\n'), done.stderr


def test_one_line_tells_what_is_wrong_in_two_processes(tmp_path):
    config = tiny.write_detector(tmp_path, tmp_path / 'nowhere')
    done = run_script('dist_train.sh', config, 2, '--work-dir', tmp_path / 'run', CUDA_VISIBLE_DEVICES='')
    assert done.returncode == 2
    assert done.stderr.count('error: ') == 1
    assert 'Traceback' not in done.stdout + done.stderr


def test_a_taken_port_stops_before_anything_starts(tmp_path):
    with socket.socket() as server:
        server.bind(('', 0))
        server.listen()
        port = str(server.getsockname()[1])
        done = run_script('dist_train.sh', 'config.py', 1, PORT=port)
    assert done.returncode == 2
    assert done.stderr == f'error: port {port} is taken; unset PORT to get a free one, or name another\n'


def test_missing_arguments_show_the_usage():
    for name, count in (('dist_train.sh', 1), ('dist_test.sh', 2), ('slurm_train.sh', 3), ('slurm_test.sh', 3)):
        done = run_script(name, *['x'] * count)
        assert done.returncode == 2
        assert done.stderr.startswith('usage: ')


def test_slurm_gets_one_task_per_gpu_and_options_keep_their_spaces(tmp_path):
    path = stand_in(tmp_path / 'bin', 'srun', 'printf "%s\\n" "$@"; echo "port $MASTER_PORT"')
    options = ['--cfg-options', 'data_root=my data']
    done = run_script('slurm_train.sh', 'part', 'job', 'c.py', 'a run', *options, PATH=path, GPUS='16', PORT='1234')
    lines = done.stdout.splitlines()
    assert {'--ntasks=16', '--ntasks-per-node=8', '--gres=gpu:8', '--job-name=job', 'port 1234'} <= set(lines)
    assert lines[lines.index('--work-dir') + 1] == 'a run'
    assert 'data_root=my data' in lines
    few = run_script('slurm_test.sh', 'part', 'job', 'c.py', 'x.pth', PATH=path, GPUS='2').stdout.splitlines()
    assert {'--ntasks=2', '--ntasks-per-node=2', 'x.pth'} <= set(few)


def setup_env(path: str, *extras: str) -> subprocess.CompletedProcess:
    script = f'set -euo pipefail; source {TOOLS}/setup_env.sh; setup_env {" ".join(extras)}; echo "python $PYTHON"'
    return subprocess.run(
        ['bash', '-c', script],
        env={**os.environ, 'PATH': path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd='/',
    )


def test_setting_up_syncs_the_locked_versions_with_the_extras(tmp_path):
    path = stand_in(tmp_path, 'uv', '[[ $1 == --version ]] && echo "uv 0.13.8" || echo "uv $* in $PWD" >&2')
    done = setup_env(path, 'dev', 'docs')
    assert done.returncode == 0, done.stderr
    assert f'uv sync --frozen --inexact --extra dev --extra docs in {TOOLS.parent}' in done.stderr
    assert done.stdout == f'python {TOOLS.parent}/.venv/bin/python\n'
    assert 'sync --frozen --inexact in' in setup_env(path).stderr


def test_a_failed_set_up_says_so(tmp_path):
    path = stand_in(tmp_path, 'uv', '[[ $1 == --version ]] && echo "uv 0.13.8" || exit 1')
    done = setup_env(path)
    assert done.returncode == 2
    assert 'error: the environment could not be set up' in done.stderr


def test_setting_up_from_the_command_line_refuses_an_unknown_option():
    done = run_script('setup_env.sh', '--compiled-opps')
    assert done.returncode == 2
    assert done.stderr == (
        'error: unknown option --compiled-opps; usage: bash tools/setup_env.sh [--compiled-ops] [extra ...]\n'
    )
