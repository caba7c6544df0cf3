"""Train and evaluate on the embedded data set and draw pictures, in the working folder.

    mmsparseswin quickstart

Existing files are used again, and an interrupted training is resumed. The last line reads:
    bbox_mAP=0.xxx segm_mAP=0.xxx pictures=<folder>
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.locations import PACKAGE, folder

DATA = Path('data/shapes')
WORK = Path('work_dirs/quickstart')


def run(tool: str, *arguments: object) -> None:
    """Run a tool in a process of its own; if it fails, end with its exit code: it has said why."""
    path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get('PYTHONPATH')]))
    command = [sys.executable, str(folder('tools') / tool), *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, 'PYTHONPATH': path})
    if done.returncode:
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)


def settings() -> str:
    """Return a hash of all that the training depends on: the configs and the annotations."""
    configs = folder('configs')
    files = sorted(path for part in ('quickstart', '_base_') for path in (configs / part).rglob('*.py'))
    digest = hashlib.sha256()
    for path in [*files, *sorted((DATA / 'annotations').glob('*.json'))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_way(current: str) -> None:
    """Rename the results of other settings; they are not deleted."""
    mark = WORK / 'settings'
    if WORK.exists() and (not mark.is_file() or mark.read_text().strip() != current):
        WORK.rename(f'{WORK}.{time.strftime("%Y%m%d-%H%M%S")}')
    WORK.mkdir(parents=True, exist_ok=True)
    mark.write_text(f'{current}\n')


def train(config: Path) -> None:
    """Train in batches of 8: one GPU, or two processes of 4 without (two cores serve two processes better than one)."""
    import torch  # after the command line

    processes, batch = (1, 8) if torch.cuda.is_available() else (2, 4)
    options = ['--work-dir', WORK, '--resume', '--no-validate', '--cfg-options', f'train_dataloader.batch_size={batch}']
    run('launch.py', processes, folder('tools') / 'train.py', config, '--launcher', 'pytorch', *options)


def main() -> None:
    """Draw, train, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    config = folder('configs') / 'quickstart/cascade_sparseswin_shapes.py'
    run('dataset_tools/draw_shapes.py', DATA, '--images', 1000, 200, '--size', 160, '--seed', 0)
    make_way(settings())
    if not (WORK / 'finished').exists():
        train(config)
        (WORK / 'finished').touch()
    metrics, pictures = WORK / 'metrics.json', WORK / 'pictures'
    if not metrics.exists():
        shutil.rmtree(pictures, ignore_errors=True)
        results = ['--work-dir', WORK, '--show-dir', pictures, '--out', metrics, '--out-item', 'metrics']
        run('test.py', config, (WORK / 'last_checkpoint').read_text().strip(), *results)
    scores = json.loads(metrics.read_text())
    print(f'bbox_mAP={scores["coco/bbox_mAP"]:.3f} segm_mAP={scores["coco/segm_mAP"]:.3f} pictures={pictures}')


if __name__ == '__main__':
    cli.run_tool(main)
