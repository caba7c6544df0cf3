"""Check that this machine can run the main job; name each fault and the command that repairs it.

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
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mmsparseswin.installation import Installation, installation, installed_version
from mmsparseswin.log_filters import quiet_console

# Distributions of one import name: the one installed last has overwritten the files of the other.
_TWINS = {'mmcv': 'onedl-mmcv', 'mmcv-full': 'onedl-mmcv', 'mmcv-lite': 'onedl-mmcv', 'mmengine': 'onedl-mmengine'}
_TWINS |= {'mmdet': 'onedl-mmdetection', 'mmpretrain': 'onedl-mmpretrain'}
_OPENCV = 'opencv-contrib-python-headless'
_OPENCV_BUILDS = (_OPENCV, 'opencv-python-headless', 'opencv-contrib-python', 'opencv-python')


@dataclass
class Finding:
    """One line of the report. `state` is 'ok', 'note' (works, but read it) or 'bad' (the main job cannot run)."""

    name: str
    value: str
    state: str = 'ok'
    remedy: str = ''


def _how() -> Installation:
    try:
        return installation()
    except metadata.PackageNotFoundError:
        return Installation('pip')


def check_versions() -> Iterator[Finding]:
    """Compare Python and the installed packages with the ranges that this package asks for."""
    try:
        wanted, requires = metadata.metadata('mmsparseswin')['Requires-Python'], metadata.requires('mmsparseswin')
    except metadata.PackageNotFoundError:
        remedy = _how().install('mmsparseswin')
        yield Finding('mmsparseswin', 'found on PYTHONPATH only, so the versions it needs are unknown', 'note', remedy)
        return
    yield Finding('mmsparseswin', f'{metadata.version("mmsparseswin")}, {_how().describe()}')
    fine = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    remedy = '' if fine else f'make an environment with a Python {wanted}'
    yield Finding('python', platform.python_version(), 'ok' if fine else 'bad', remedy)
    for requirement in sorted(map(Requirement, requires or ()), key=lambda one: one.name):
        if requirement.marker is not None and not requirement.marker.evaluate({'extra': ''}):
            continue
        remedy = _how().satisfy(f'{requirement.name}{requirement.specifier}')
        version = installed_version(requirement.name)
        if version is None:
            yield Finding(requirement.name, 'not installed', 'bad', remedy)
        elif requirement.specifier.contains(version.partition('+')[0], prereleases=True):
            yield Finding(requirement.name, version)
        else:
            yield Finding(requirement.name, f'{version}, tested is {requirement.specifier}', 'note', remedy)


def check_twins() -> Iterator[Finding]:
    """Find two distributions that write the same files."""
    for twin, ours in _TWINS.items():
        if version := installed_version(twin):
            remedy = f'{_how().uninstall(twin)} && {_how().reinstall(ours)}'
            yield Finding(twin, f'{version} is installed beside {ours}: they overwrite each other', 'bad', remedy)


def check_opencv() -> Iterator[Finding]:
    """Import cv2, whose files several distributions write; the build with windows needs libGL, which servers lack."""
    builds = {name: version for name in _OPENCV_BUILDS if (version := installed_version(name))}
    remedy = _how().reinstall(_OPENCV)
    try:
        version = import_module('cv2').__version__
    except Exception as error:  # ImportError, or AttributeError inside a mixture of two versions
        yield Finding('cv2', f'{error}; installed: {", ".join(builds) or "no build of OpenCV"}', 'bad', remedy)
        return
    if len(set(builds.values())) > 1:
        mixture = ', '.join(f'{name} {version}' for name, version in builds.items())
        yield Finding('cv2', f'{version}, but files of several versions lie in its folder: {mixture}', 'note', remedy)
    else:
        yield Finding('cv2', f'{version} loads')


def check_torchvision() -> Iterator[Finding]:
    """Run an operator of torchvision, which only loads into the torch it was built for."""
    import torch

    try:
        import_module('torchvision').ops.nms(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.ones(1), 0.5)
    except Exception as error:  # RuntimeError or OSError of another torch's build
        remedy = _how().satisfy('torchvision') if _how().locked else _how().install('--upgrade', 'torch', 'torchvision')
        yield Finding('torchvision operators', f'{error}: built for another torch', 'bad', remedy)
    else:
        yield Finding('torchvision operators', f'load into torch {torch.__version__} and run')


def check_mmcv() -> Iterator[Finding]:
    """Report the operators of mmcv, compiled or ours by torchvision, and run one."""
    import torch

    try:
        extension = import_module('mmcv._ext')
        ops = import_module('mmcv.ops')
        ops.nms(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.ones(1), 0.5)
    except Exception as error:  # ImportError, or OSError and RuntimeError of a mismatched binary
        compiled = 'undefined symbol' in str(error)
        # Without torch in the build environment onedl-mmcv becomes a pure wheel again.
        remedy = _how().reinstall('onedl-mmcv' if compiled else 'mmsparseswin')
        reason = f'built for another torch: {error}' if compiled else str(error)
        yield Finding('mmcv operators', reason, 'bad', remedy)
        return
    if str(extension.__file__).endswith('.py'):
        yield Finding('mmcv operators', 'by torchvision (mmsparseswin.mmcv_ops), nothing compiled; they run')
        return
    cuda = ops.get_compiling_cuda_version()
    yield Finding('mmcv operators', f'compiled with {ops.get_compiler_version()}, CUDA: {cuda}; they load and run')
    if torch.cuda.is_available() and cuda == 'not available':
        remedy = f'{_how().reinstall("onedl-mmcv")}, or with CUDA: FORCE_CUDA=1 ... {_how().compile_ops()}'
        yield Finding('mmcv on the GPU', 'a GPU is there, the operators were compiled without CUDA', 'bad', remedy)
    elif torch.cuda.is_available() and str(torch.version.cuda).split('.')[0] != cuda.split('.')[0]:
        remedy = _how().compile_ops()
        yield Finding('mmcv on the GPU', f'compiled with CUDA {cuda}, torch has {torch.version.cuda}', 'note', remedy)


def check_precision() -> Iterator[Finding]:
    """Report the type that ``precision='auto'`` trains in here, and the reason."""
    from mmsparseswin.engine.precision import choose_precision

    yield Finding('precision', '{} ({})'.format(*choose_precision()))


def check_gpu() -> Iterator[Finding]:
    """List the GPUs that torch can use."""
    import torch

    if not torch.cuda.is_available():
        yield Finding('GPU', f'none that torch {torch.__version__} can use: everything runs on the CPU')
        return
    for index in range(torch.cuda.device_count()):
        prop = torch.cuda.get_device_properties(index)
        memory = f'{prop.total_memory / 2**30:.0f} GiB'
        yield Finding(f'GPU {index}', f'{prop.name}, {memory}, compute capability {prop.major}.{prop.minor}')


def check_registries() -> Iterator[Finding]:
    """Look the backbones up by name where mmdet and mmpretrain look."""
    remedy = _how().reinstall('mmsparseswin')
    for library in ('mmdet', 'mmpretrain'):
        try:
            models = import_module(f'{library}.registry').MODELS
            names = [name for name in ('mmsparseswin.SparseSwin', 'mmsparseswin.Swin') if models.get(name) is None]
        except Exception as error:  # a broken library may raise anything on import
            yield Finding(f'{library} registry', f'{type(error).__name__}: {error}', 'bad', remedy)
            continue
        found = f'lacks {", ".join(names)}' if names else 'resolves mmsparseswin.SparseSwin and mmsparseswin.Swin'
        yield Finding(f'{library} registry', found, 'bad' if names else 'ok', remedy if names else '')


def check_port() -> Iterator[Finding]:
    """Check that a port is free for the processes of a distributed run."""
    try:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            yield Finding('free port', str(probe.getsockname()[1]))
    except OSError as error:
        yield Finding('free port', str(error), 'bad', 'allow this user to open sockets on 127.0.0.1')


def check_disk() -> Iterator[Finding]:
    """Check the free space for checkpoints; one of the main detector, with optimiser state, takes about 1 GB."""
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
    check_opencv,
    check_torchvision,
    check_mmcv,
    check_gpu,
    check_precision,
    check_registries,
    check_port,
    check_disk,
)


def examine() -> list[Finding]:
    """Return all findings; a failing check is a finding too."""
    findings: list[Finding] = []
    for check in CHECKS:
        try:
            # Send output of imports to stderr: stdout holds the report.
            with contextlib.redirect_stdout(sys.stderr):
                findings += check()
        except Exception as error:
            remedy = _how().reinstall('mmsparseswin')
            findings.append(
                Finding(check.__name__.removeprefix('check_'), f'{type(error).__name__}: {error}', 'bad', remedy)
            )
    return findings


def main() -> int:
    """Print the report; return 1 if the main job cannot run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    with quiet_console():
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
