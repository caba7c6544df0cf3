"""Detectors and classifiers that turn batches of pictures into one JSON record each."""

import argparse
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmsparseswin.image_files import can_be_drawn

if TYPE_CHECKING:
    from mmsparseswin.image_files import Job


class Detector:
    """mmdet's inferencer, and its results as COCO records."""

    def __init__(self, cfg: Config, checkpoint: str, args: argparse.Namespace) -> None:
        from mmdet.apis import DetInferencer

        for step in cfg.test_dataloader.dataset.pipeline:
            step.pop('skip_corrupt', None)  # the inferencer puts mmdet's loader in the place of ours
        with warnings.catch_warnings():  # `name_classes` follows
            warnings.filterwarnings('ignore', 'dataset_meta or class names are not saved')
            self.inferencer = DetInferencer(cfg, checkpoint, args.device, show_progress=False)
        self.threshold = args.score_thr

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.classes = names
        palette = self.inferencer.model.dataset_meta.get('palette', 'random')
        if isinstance(palette, (list, tuple)) and len(palette) < len(names):
            palette = 'random'  # of a data set with fewer classes
        meta = dict(classes=names, palette=palette)
        self.inferencer.model.dataset_meta = self.inferencer.visualizer.dataset_meta = meta

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        import mmcv

        pictures = pictures if pictures and can_be_drawn(batch) else None
        results = self.inferencer(
            [str(job.path) for job in batch],
            batch_size=len(batch),
            pred_score_thr=self.threshold,
            return_vis=pictures is not None,
            return_datasamples=True,
        )
        records = []
        for index, (job, sample) in enumerate(zip(batch, results['predictions'], strict=True)):
            if pictures:
                mmcv.imwrite(results['visualization'][index][..., ::-1], str(pictures / job.picture))
            height, width = sample.ori_shape
            objects = self._objects(self.inferencer.pred2dict(sample))
            records.append(dict(file_name=str(job.name), width=width, height=height, objects=objects))
        return records

    def _objects(self, found: dict[str, list]) -> list[dict]:
        objects = []
        masks = found.get('masks') or [None] * len(found['labels'])
        for label, score, (x1, y1, x2, y2), mask in zip(
            found['labels'], found['scores'], found['bboxes'], masks, strict=True
        ):
            if score < self.threshold:
                continue
            record = dict(category_id=label + 1, score=round(score, 4), iscrowd=0)
            record['bbox'] = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            record['area'] = round((x2 - x1) * (y2 - y1), 2)
            if mask is not None:
                record['segmentation'] = mask
            objects.append(record)
        return objects

    def collect(self, records: Iterable[dict]) -> dict[str, list]:
        """Return `records` in COCO's layout."""
        images: list[dict] = []
        annotations: list[dict] = []
        for record in records:
            images.append(dict(id=len(images) + 1, **{key: record[key] for key in ('file_name', 'width', 'height')}))
            for one in record['objects']:
                annotations.append(dict(id=len(annotations) + 1, image_id=len(images), **one))
        categories = [dict(id=index + 1, name=name) for index, name in enumerate(self.classes)]
        return dict(images=images, annotations=annotations, categories=categories)


class Classifier:
    """mmpretrain's inferencer."""

    def __init__(self, cfg: Config, checkpoint: str, args: argparse.Namespace) -> None:
        from mmpretrain import ImageClassificationInferencer
        from mmpretrain.visualization import UniversalVisualizer

        self.inferencer = ImageClassificationInferencer(cfg, checkpoint, args.device)
        self.visualizer = self.inferencer.visualizer or UniversalVisualizer()
        # CIFAR's data sets give RGB, so their preprocessor does not turn BGR round.
        self.channels = 'bgr' if getattr(self.inferencer.model.data_preprocessor, 'to_rgb', True) else 'rgb'

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.inferencer.classes = names

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        import mmcv

        pictures = pictures if pictures and can_be_drawn(batch) else None
        paths = [str(job.path) for job in batch]
        images = [mmcv.imread(path, channel_order=self.channels) for path in paths]
        # The steps of its __call__, which would draw a progress bar for every batch.
        for data in self.inferencer.preprocess(images, len(images)):
            samples = self.inferencer.forward(data)
        if pictures:
            self._draw(batch, samples, pictures)
        records = []
        for job, found in zip(batch, self.inferencer.postprocess(samples, []), strict=True):
            label = int(found['pred_label'])
            one = {'class': found['pred_class'], 'label': label, 'score': found['pred_score']}
            records.append({'file_name': str(job.name), **one})
        return records

    def _draw(self, batch: 'list[Job]', samples: list, pictures: Path) -> None:
        """Draw as the inferencer does, which names pictures by their stems: a.jpg and a.png would be one."""
        import mmcv

        for job, sample in zip(batch, samples, strict=True):
            self.visualizer.visualize_cls(
                mmcv.imread(str(job.path), channel_order='rgb'),
                sample,
                classes=self.inferencer.classes,
                draw_gt=False,
                name=str(job.name),
                out_file=str(pictures / job.picture),
            )

    def collect(self, records: Iterable[dict]) -> list[dict]:
        """Return `records` as a list."""
        return list(records)
