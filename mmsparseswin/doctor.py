"""Can this machine run the main job? What it has, what is wrong, and the command that mends it.

python -m mmsparseswin.doctor          a table; exit code 1 if training a detector could not run
python -m mmsparseswin.doctor --json   the same for programs
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path

from packaging.requirements import Requirement

SYNC = 'uv sync --frozen'
REBUILD_CUDA = f'uv cache clean onedl-mmcv && FORCE_CUDA=1 {SYNC} --reinstall-package onedl-mmcv'
# Another distribution of the same import name: whichever was installed last has overwritten the files of the other.
_TWINS = {'mmcv': 'onedl-mmcv', 'mmcv-full': 'onedl-mmcv', 'mmcv-lite': 'onedl-mmcv', 'mmengine': 'onedl-mmengine'}
_TWINS |= {'mmdet': 'onedl-mmdetection', 'mmpretrain': 'onedl-mmpretrain', 'opencv-python': 'opencv-python-headless'}
# (Python, torch) with a wheel of onedl-mmcv at https://mmwheels.onedl.ai; any other pair compiles it.
_WHEELS = {('3.10', '2.4'), ('3.10', '2.8'), ('3.12', '2.9'), ('3.12', '2.10'), ('3.12', '2.12')}


@dataclass
class Finding:
    """One line of the report. `state` is 'ok', 'note' (works, but look) or 'bad' (the main job cannot run)."""

    name: str
    value: str
    state: str = 'ok'
    remedy: str = ''


def check_versions() -> Iterator[Finding]:
    """Installed versions against the requirements of this package, which pin the tested stack."""
    yield Finding(
        'python', platform.python_version(), *_unless(sys.version_info[:2] in ((3, 10), (3, 11), (3, 12)), SYNC)
    )
    try:
        requirements = [Requirement(text) for text in metadata.requires('mmsparseswin') or ()]
    except metadata.PackageNotFoundError:
        yield Finding('mmsparseswin', 'found on PYTHONPATH only, so the versions it needs are unknown', 'note', SYNC)
        return
    for requirement in sorted(requirements, key=lambda one: one.name):
        if requirement.marker is not None and not requirement.marker.evaluate({'extra': ''}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(requirement.name, 'not installed', 'bad', SYNC)
            continue
        if requirement.specifier.contains(version.partition('+')[0], prereleases=True):
            yield Finding(requirement.name, version)
        else:
            yield Finding(requirement.name, f'{version}, tested is {requirement.specifier}', 'note', SYNC)


def _unless(fine: bool, remedy: str, state: str = 'bad') -> tuple[str, str]:
    return ('ok', '') if fine else (state, remedy)


def check_twins() -> Iterator[Finding]:
    """Two distributions that write the same files."""
    for twin, ours in _TWINS.items():
        try:
            version = metadata.version(twin)
        except metadata.PackageNotFoundError:
            continue
        remedy = f'uv pip uninstall {twin} {ours} && {SYNC} --reinstall-package {ours}'
        yield Finding(twin, f'{version} is installed beside {ours}: they overwrite each other', 'bad', remedy)


def check_mmcv() -> Iterator[Finding]:
    """Whether mmcv's operators load into this torch and run; their file does not say for which it was built."""
    import torch

    python, version = '.'.join(platform.python_version_tuple()[:2]), '.'.join(torch.__version__.split('.')[:2])
    wheel = (
        'a prebuilt wheel exists (https://mmwheels.onedl.ai)' if (python, version) in _WHEELS else 'compiled on install'
    )
    yield Finding('mmcv install case', f'Python {python}, torch {version}: {wheel}')
    rebuild = REBUILD_CUDA if torch.cuda.is_available() else f'{SYNC} --reinstall-package onedl-mmcv'
    try:
        import_module('mmcv._ext')
        ops = import_module('mmcv.ops')
        box = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
        ops.nms(box, torch.ones(1), 0.5)
    except Exception as error:  # ImportError, or OSError and RuntimeError of a mismatched binary
        built = 'built for another torch: ' if 'undefined symbol' in str(error) else ''
        yield Finding('mmcv._ext', f'{built}{error}', 'bad', rebuild)
        return
    cuda = ops.get_compiling_cuda_version()
    loaded = f'loads into torch {torch.__version__} and runs; {ops.get_compiler_version()}, CUDA operators: {cuda}'
    yield Finding('mmcv._ext', loaded)
    if torch.cuda.is_available() and cuda == 'not available':
        yield Finding('mmcv on the GPU', 'a GPU is there, the operators were built without CUDA', 'bad', rebuild)
    elif torch.cuda.is_available() and str(torch.version.cuda).split('.')[0] != cuda.split('.')[0]:
        yield Finding('mmcv on the GPU', f'built with CUDA {cuda}, torch has {torch.version.cuda}', 'note', rebuild)


def check_gpu() -> Iterator[Finding]:
    """GPUs, and the compiler for their operators."""
    import torch

    nvcc = 'not found'
    if path := shutil.which('nvcc'):
        output = subprocess.run([path, '--version'], capture_output=True, text=True).stdout
        nvcc = next((line.split('release ')[1] for line in output.splitlines() if 'release ' in line), path)
    yield Finding('nvcc', nvcc)
    if not torch.cuda.is_available():
        yield Finding(
            'GPU', f'none that torch {torch.__version__} can use: everything runs on the CPU (gloo, bfloat16)'
        )
        return
    for index in range(torch.cuda.device_count()):
        prop = torch.cuda.get_device_properties(index)
        memory = f'{prop.total_memory / 2**30:.0f} GiB'
        yield Finding(f'GPU {index}', f'{prop.name}, {memory}, compute capability {prop.major}.{prop.minor}')


def check_registries() -> Iterator[Finding]:
    """Whether mmdet and mmpretrain find the backbones by name."""
    for library in ('mmdet', 'mmpretrain'):
        try:
            models = import_module(f'{library}.registry').MODELS
            names = [name for name in ('mmsparseswin.SparseSwin', 'mmsparseswin.Swin') if models.get(name) is None]
        except Exception as error:  # whatever a broken library raises on import
            yield Finding(f'{library} registry', f'{type(error).__name__}: {error}', 'bad', SYNC)
            continue
        found = f'lacks {", ".join(names)}' if names else 'resolves mmsparseswin.SparseSwin and mmsparseswin.Swin'
        yield Finding(
            f'{library} registry', found, *_unless(not names, 'uv sync --frozen --reinstall-package mmsparseswin')
        )


def check_port() -> Iterator[Finding]:
    """A port for the processes of a distributed run to meet at."""
    try:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            yield Finding('free port', str(probe.getsockname()[1]))
    except OSError as error:
        yield Finding('free port', str(error), 'bad', 'allow this user to open sockets on 127.0.0.1')


def check_disk() -> Iterator[Finding]:
    """Room for checkpoints below the current folder: the main detector's, with optimiser state, takes about 1 GB."""
    folder = Path('work_dirs').absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    remedy = f'free some space on the disk of {folder}, or train with --work-dir elsewhere'
    state = 'ok' if free > 10 else 'note' if free > 2 else 'bad'
    yield Finding('disk for work_dirs', f'{free:.1f} GiB free', state, '' if state == 'ok' else remedy)
    if not os.access(folder, os.W_OK):
        yield Finding('work_dirs', f'{folder} cannot be written', 'bad', 'train with --work-dir elsewhere')


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_versions,
    check_twins,
    check_mmcv,
    check_gpu,
    check_registries,
    check_port,
    check_disk,
)


def examine() -> list[Finding]:
    """All findings; a check that breaks is a finding itself."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            # Libraries that greet on import do so on stderr: stdout is the report, JSON included.
            with contextlib.redirect_stdout(sys.stderr):
                findings += check()
        except Exception as error:
            findings.append(
                Finding(check.__name__.removeprefix('check_'), f'{type(error).__name__}: {error}', 'bad', SYNC)
            )
    return findings


def main() -> int:
    """Print the report; 1 if the main job could not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    findings = examine()
    bad = [finding for finding in findings if finding.state == 'bad']
    if args.json:
        print(json.dumps(dict(ok=not bad, findings=[asdict(finding) for finding in findings]), indent=2))
        return bool(bad)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f'{finding.state:4}  {finding.name:{width}}  {finding.value}')
        if finding.remedy:
            print(f'{"":4}  {"":{width}}  -> {finding.remedy}')
    print(f'{len(bad)} problems: the main job cannot run' if bad else 'the main job can run')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
