"""Count the hostile files that run code, by route: mmengine's own loading against the reader of this project.

    python tests/security/count.py CHECKPOINT DETECTOR_CONFIG CLASSIFIER_CONFIG

CHECKPOINT is of a training of DETECTOR_CONFIG. Each file is loaded in a fork of its own, which may be killed.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import hostile
from routes import Routes, reset_scope

from mmsparseswin.engine.safe_reader import install_safe_reader


def ran_code(route, path: Path, canary: Path) -> bool:
    """Load `path` in a fork and look for the canary."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with contextlib.suppress(BaseException), open(os.devnull, 'w') as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
            route(path)
        os._exit(0)
    os.waitpid(child, 0)
    ran = canary.exists()
    canary.unlink(missing_ok=True)
    return ran


def count(checkpoint: Path, detector: Path, classifier: Path, folder: Path) -> dict[str, list[int]]:
    """Return the number of files that ran code by route, with mmengine's own loading and with ours; print a table."""
    (folder / 'files').mkdir()
    canary = folder / 'files' / 'canary'
    files = hostile.write_all(folder / 'files', checkpoint, canary)
    reset_scope()
    counts: dict[str, list[int]] = {}
    for guarded in (False, True):
        if guarded:
            install_safe_reader()
        routes = Routes(detector, classifier, folder / 'work', guarded).all()
        for name, route in routes.items():
            ran = [path.stem for path in files if ran_code(route, path, canary)]
            counts.setdefault(name, []).append(len(ran))
            print(f'{name}: {", ".join(ran) or "none"}', file=sys.stderr, flush=True)
    print(f'| of {len(files)} files ran code | mmengine | this project |\n|---|---|---|')
    for name, (before, after) in counts.items():
        print(f'| {name} | {before} | {after} |')
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('detector', type=Path)
    parser.add_argument('classifier', type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count(args.checkpoint, args.detector, args.classifier, Path(folder))


if __name__ == '__main__':
    main()
