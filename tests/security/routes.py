"""Every way in which a checkpoint gets into a process, as a function of its path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint

from mmsparseswin.checkpoints import convert
from mmsparseswin.checkpoints.training_files import load_or_refuse
from mmsparseswin.cli.predictors import Classifier, Detector
from mmsparseswin.engine.checkpoint_guard import CheckpointGuardHook


class Part(BaseModule):
    """Something with `init_cfg`, which starts from a file."""

    def __init__(self, **source: Any) -> None:
        super().__init__(init_cfg=dict(type='Pretrained', **source))
        self.backbone = torch.nn.Linear(2, 2)


class Routes:
    """Routes by name; `guarded` as the tools take them, else as mmengine does by itself."""

    def __init__(self, detector: Path, classifier: Path, work_dir: Path, guarded: bool = True) -> None:
        self.detector, self.classifier = Config.fromfile(detector), Config.fromfile(classifier)
        cfg = self.detector.copy()
        cfg.work_dir, cfg.launcher, cfg.log_level = str(work_dir), 'none', 'ERROR'
        cfg.custom_hooks = [dict(type='mmsparseswin.CheckpointGuardHook', resume=True)] if guarded else []
        self.runner = Runner.from_cfg(cfg)
        self.runner._train_loop = self.runner.build_train_loop(cfg.train_cfg)
        self.runner.optim_wrapper = self.runner.build_optim_wrapper(cfg.optim_wrapper)
        self.guard = next((hook for hook in self.runner.hooks if isinstance(hook, CheckpointGuardHook)), None)

    def all(self) -> dict[str, Callable[[Path], Any]]:
        """Name -> function that loads a path."""
        return {
            'Runner.resume (train.py --resume)': self.resume,
            'Runner.load_checkpoint (load_from, test.py)': self.load_from,
            'load_checkpoint of mmengine': lambda path: load_checkpoint(self.runner.model, str(path), 'cpu'),
            'CheckpointLoader (predict.py, profile_job.py)': self.loader,
            'init_cfg of a model': lambda path: Part(checkpoint=str(path)).init_weights(),
            'init_cfg of a part': lambda path: Part(checkpoint=str(path), prefix='backbone').init_weights(),
            'DetInferencer': self.detect,
            'ImageClassificationInferencer': self.classify,
            'FeatureExtractor (extract_features.py)': self.extract,
            'convert.py': convert,
            '--pretrained': self.pretrained,
        }

    def resume(self, path: Path) -> None:
        if self.guard:
            self.guard.resume = True
        self.runner.resume(str(path), map_location='cpu')

    def load_from(self, path: Path) -> None:
        if self.guard:
            self.guard.resume = False
        self.runner.load_checkpoint(str(path))

    def loader(self, path: Path) -> None:
        load_or_refuse(self.runner.model, CheckpointLoader.load_checkpoint(str(path), 'cpu', 'silent'), strict=False)

    def detect(self, path: Path) -> None:
        Detector(self.detector.copy(), str(path), 'cpu', 0.3)

    def classify(self, path: Path) -> None:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            Classifier(self.classifier.copy(), str(path), 'cpu', 0.3)

    def extract(self, path: Path) -> None:
        from mmpretrain import FeatureExtractor

        with DefaultScope.overwrite_default_scope('mmpretrain'):
            FeatureExtractor(self.classifier.copy(), str(path), 'cpu')

    def pretrained(self, path: Path) -> None:
        from mmpretrain.registry import MODELS

        cfg = dict(type='mmsparseswin.Swin', arch='cifar', img_size=32, window_size=4)
        MODELS.build(dict(**cfg, init_cfg=dict(type='Pretrained', checkpoint=str(path)))).init_weights()


def reset_scope() -> None:
    """Forget the default scope that an inferencer has set."""
    DefaultScope._instance_dict.clear()
    init_default_scope('mmdet')
