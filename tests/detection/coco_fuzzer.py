"""Damage a COCO annotation file in seeded ways and test that the check of the data finds it.

A file is either refused in one line, or mmdet's data set and metric read it without an error, learn from the same
objects and give perfect predictions the same score; where one of these differs, the check must have said something.

    python tests/detection/coco_fuzzer.py --mutations 12000
"""

import argparse
import contextlib
import copy
import io
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import torch
from coco_mutations import CLASSES, base, is_another_data_set, mutate, rle
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmsparseswin.detection.data_check.datasets import check_config
from mmsparseswin.errors import InputError

_MEMORY = 2**31  # bytes that one mutation may take; pycocotools took 21 GB of one number
_SECONDS = 20
_PLAIN: dict[str, Any] = dict(pipeline=[], serialize_data=False)  # serialising collects garbage for a second


class Outcome(NamedTuple):
    """Outcome of one mutation: 'refused', 'same', 'said', or one of the faults."""

    kind: str
    detail: str


FAULTS = ('uncaught', 'traceback', 'crash', 'silent', 'unclear')


class Judge:
    """Check files like tools/train.py and tools/test.py and compare them with the sound one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sound = folder, base(folder)
        self.answers = self._perfect()
        self.path = folder / 'a.json'
        self.path.write_text(json.dumps(self.sound))
        MMLogger.get_current_instance().setLevel(logging.CRITICAL)
        self.expected = self._read(self._config(), 0)

    def _config(self) -> Config:
        pipeline = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
        dataset = dict(
            type='CocoDataset',
            data_root=str(self.folder),
            ann_file='a.json',
            data_prefix=dict(img='images'),
            metainfo=dict(classes=CLASSES),
            pipeline=pipeline,
        )
        return Config(
            dict(
                default_scope='mmdet',
                train_dataloader=dict(dataset=dataset),
                val_dataloader=dict(dataset=dict(dataset, test_mode=True)),
                val_evaluator=dict(ann_file=str(self.path), metric=['bbox', 'segm']),
            )
        )

    def _perfect(self) -> dict[str, dict[str, Any]]:
        """Return the predictions of a perfect detector, by file name."""
        found: dict[str, dict[str, Any]] = {}
        for image in self.sound['images']:
            anns = [a for a in self.sound['annotations'] if a['image_id'] == image['id'] and not a['iscrowd']]
            boxes = torch.tensor([a['bbox'] for a in anns], dtype=torch.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            found[image['file_name']] = dict(
                bboxes=boxes,
                scores=torch.full((len(anns),), 0.9),
                labels=torch.tensor([(a['category_id'] - 1) // 3 for a in anns], dtype=torch.long),
                masks=[dict(rle(ann['segmentation'], image)) for ann in anns],
            )
        return found

    def _read(self, cfg: Config, seed: int) -> tuple[Any, Any]:
        """Return the training targets and the scores of perfect predictions on the data sets of `cfg`."""
        load = LoadAnnotations(with_bbox=True, with_mask=True)
        targets = []
        for info in DATASETS.build(dict(cfg.train_dataloader.dataset, **_PLAIN)):
            found = load(dict(info, ori_shape=(info['height'], info['width'])))
            areas = [round(float(area)) for area in found['gt_masks'].areas]
            boxes, labels = found['gt_bboxes'].tensor.tolist(), found['gt_bboxes_labels'].tolist()
            rows = zip(labels, boxes, areas, found['gt_ignore_flags'].tolist(), strict=True)
            targets.append((os.path.basename(info['img_path']), sorted(map(str, rows))))
        kind = ('mmsparseswin.CocoMetric', 'CocoMetric')[seed % 2]
        metric = METRICS.build(dict(cfg.val_evaluator, type=kind))
        metric.dataset_meta = dict(classes=CLASSES)
        dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, **_PLAIN))
        for info in dataset:
            answer = copy.deepcopy(self.answers.get(os.path.basename(info['img_path'])))
            sample = dict(img_id=info['img_id'], ori_shape=(info['height'], info['width']), pred_instances=answer)
            metric.process({}, [dict(sample, gt_instances={}, instances=[])])
        scores = metric.evaluate(len(dataset))
        return sorted(targets), sorted((name, str(value)) for name, value in scores.items())

    def judge(self, data: bytes, seed: int = 0) -> Outcome:
        """Check a spoilt file and read it; an odd `seed` scores with pycocotools, an even one with faster-coco-eval."""
        self.path.write_bytes(data)
        cfg = self._config()
        try:
            checked = check_config(cfg, ('train', 'val'), repair_dir=str(self.folder / 'repaired'))
        except InputError as error:
            text = str(error)
            clear = '\n' not in text and len(text) < 1000 and ('a.json' in text or 'image' in text or 'option' in text)
            return Outcome('refused', text) if clear else Outcome('unclear', text)
        except Exception:
            return Outcome('uncaught', traceback.format_exc())
        try:
            read = self._read(cfg, seed)
        except Exception:
            return Outcome('traceback', traceback.format_exc())
        notes = [note for one in checked for note in one.notes]
        if read == self.expected:
            return Outcome('same', ' | '.join(notes))
        if notes:
            return Outcome('said', ' | '.join(notes))
        if is_another_data_set(self.sound, data):
            return Outcome('another', '')
        return Outcome('silent', f'{read[1]}')


def run(seeds: range, folder: Path) -> dict[int, Outcome]:
    """Judge all `seeds` in child processes of limited memory, so that a crash is an outcome, too."""
    outcomes: dict[int, Outcome] = {}
    left = list(seeds)
    while left:
        log = folder / 'outcomes.jsonl'
        log.write_text('')
        child = os.fork()
        if child == 0:
            _work(left, folder, log)
        _, status = os.waitpid(child, 0)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        outcomes |= {seed: Outcome(kind, detail) for seed, kind, detail in lines}
        left = left[len(lines) :]
        if left:
            outcomes[left.pop(0)] = Outcome('crash', f'the process ended with status {status}')
    return outcomes


def _work(seeds: list[int], folder: Path, log: Path) -> None:
    """Write one line per seed to `log`; never returns."""
    code = 1
    try:
        with open('/proc/self/statm') as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, resource.RLIM_INFINITY))
        with contextlib.redirect_stdout(io.StringIO()), log.open('a') as out:
            judge = Judge(folder)
            for seed in seeds:
                signal.alarm(_SECONDS)
                out.write(json.dumps([seed, *judge.judge(mutate(judge.sound, seed), seed)]) + '\n')
                out.flush()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def report(seeds: range, folder: Path) -> list[str]:
    """Run all `seeds` and print the number of each outcome; return the faults."""
    outcomes = run(seeds, folder)
    print(dict(Counter(outcome.kind for outcome in outcomes.values())))
    return [f'seed {seed}: {one.kind}: {one.detail[-1500:]}' for seed, one in outcomes.items() if one.kind in FAULTS]


def main() -> None:
    """Run all seeds and count the outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mutations', type=int, default=12_000)
    parser.add_argument('--start', type=int, default=0, help='first seed')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ['XDG_CACHE_HOME'] = folder
        faults = report(range(args.start, args.start + args.mutations), Path(folder))
    print('\n'.join(faults))
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
