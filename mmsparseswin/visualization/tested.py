"""Test a checkpoint and keep what a report of mistakes needs."""

import os
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.evaluator import BaseMetric

from mmsparseswin.cli import evaluation_config, run_config
from mmsparseswin.errors import InputError


def coco_set(cfg: Config, split: str) -> tuple[str, str, tuple[str, ...]]:
    """Return annotation file, folder of pictures, and class names of the data of `split`.

    Raises:
        InputError: it is not one COCO data set.
    """
    from mmdet.registry import DATASETS

    loader = cfg.get(f'{split}_dataloader')
    dataset: Any = loader.dataset if loader else {}
    if not isinstance(dataset.get('ann_file'), str) or 'Coco' not in str(dataset.get('type')):
        raise InputError(f'{split}_dataloader needs one CocoDataset for this')
    root = dataset.get('data_root') or ''
    names = DATASETS.build({**dataset, 'lazy_init': True}).metainfo['classes']
    folder = os.path.join(root, (dataset.get('data_prefix') or {}).get('img', ''))
    return os.path.join(root, dataset.ann_file), folder, tuple(names)


def _test(cfg: Config, checkpoint: str, trust: bool, *metrics: BaseMetric) -> None:
    cfg.load_from, cfg.resume = checkpoint, False
    run_config.add_hook(cfg, dict(type='mmsparseswin.CheckpointGuardHook', strict=True, trust=trust))
    runner = run_config.build_runner(cfg)
    runner.test_loop.evaluator.metrics += metrics
    runner.test()


def test_detector(cfg: Config, checkpoint: str, trust: bool) -> str:
    """Test, and return the file of the boxes in COCO layout.

    Raises:
        InputError: the config scores no COCO boxes.
    """
    files = evaluation_config.set_coco_json(cfg)
    _test(cfg, checkpoint, trust)
    boxes = [path for path in files if path.endswith('.bbox.json') and os.path.isfile(path)]
    if not boxes:
        raise InputError('the test wrote no boxes: the config needs a CocoMetric with bbox as test_evaluator')
    return boxes[0]


class KeptScores(BaseMetric):
    """Scores of all classes, the label and the number of each sample; adds nothing to the metrics."""

    kept: list[tuple[int, np.ndarray, int]] = []

    def process(self, data_batch: Any, data_samples: Any) -> None:
        """Keep one batch."""
        for sample in data_samples:
            labels = np.atleast_1d(np.asarray(sample['gt_label'].cpu()))
            if len(labels) != 1:
                raise InputError('the report is for classifiers of one label per picture')
            number = sample.get('sample_idx', len(self.results))
            self.results.append((int(labels[0]), sample['pred_score'].float().cpu().numpy(), int(number)))

    def compute_metrics(self, results: list) -> dict:
        """Hand the results on."""
        self.kept = results
        return {}


def test_classifier(
    cfg: Config, checkpoint: str, trust: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Test, and return labels (N,), scores (N, classes), numbers of the samples (N,), and class names."""
    from mmsparseswin.classification.folder_check import configured_classes

    if not cfg.get('test_evaluator'):
        raise InputError('the config has no test_evaluator, test_dataloader and test_cfg: nothing to test with')
    metric = KeptScores()
    _test(cfg, checkpoint, trust, metric)
    labels, scores, numbers = (np.array(column) for column in zip(*metric.kept, strict=True))
    names = configured_classes(cfg) or range(scores.shape[1])
    return labels, scores, numbers, tuple(map(str, names))
