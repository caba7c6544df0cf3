"""Detectors and classifiers that turn batches of pictures into one JSON record each, and draw them."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.errors import InputError
from mmsparseswin.image_files import can_be_drawn
from mmsparseswin.log_filters import quiet_console

if TYPE_CHECKING:
    import numpy as np
    from mmpretrain.structures import DataSample

    from mmsparseswin.image_files import Job


class Detector:
    """mmdet's inferencer, and its results as COCO records."""

    def __init__(self, cfg: Config, checkpoint: str, device: str | None, threshold: float) -> None:
        from mmdet.apis import DetInferencer

        for step in cfg.test_dataloader.dataset.pipeline:
            step.pop('skip_corrupt', None)  # the inferencer puts mmdet's loader in the place of ours
        with warnings.catch_warnings():  # `name_classes` follows
            warnings.filterwarnings('ignore', 'dataset_meta or class names are not saved')
            self.inferencer = DetInferencer(cfg, checkpoint, device, show_progress=False)
        self.visualizer = self.inferencer.visualizer
        self.threshold = threshold

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.classes = names
        palette = self.inferencer.model.dataset_meta.get('palette', 'random')
        if isinstance(palette, (list, tuple)) and len(palette) < len(names):
            palette = 'random'  # of a data set with fewer classes
        meta = dict(classes=names, palette=palette)
        self.inferencer.model.dataset_meta = self.visualizer.dataset_meta = meta

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        import mmcv

        pictures = pictures if pictures and can_be_drawn(batch) else None
        results = self.inferencer(
            [str(job.path) if job.pixels is None else job.pixels for job in batch],
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

    def draw(self, image: 'np.ndarray', record: dict) -> 'np.ndarray':
        """Return `image`, (H, W, 3) uint8 RGB, with the objects of its record drawn on."""
        import numpy as np
        import torch
        from mmdet.structures import DetDataSample
        from mmengine.structures import InstanceData
        from pycocotools import mask as run_lengths

        objects = record['objects']
        corners = torch.tensor([one['bbox'] for one in objects]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        found = InstanceData(bboxes=corners, scores=torch.tensor([one['score'] for one in objects]))
        found.labels = torch.tensor([one['category_id'] - 1 for one in objects], dtype=torch.long)
        if objects and 'segmentation' in objects[0]:
            found.masks = np.stack([run_lengths.decode(one['segmentation']) for one in objects]).astype(bool)
        sample = DetDataSample(pred_instances=found)
        self.visualizer.add_datasample('picture', image, sample, draw_gt=False, pred_score_thr=-1)
        return self.visualizer.get_image()

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

    def __init__(self, cfg: Config, checkpoint: str, device: str | None, threshold: float) -> None:
        from mmpretrain import ImageClassificationInferencer
        from mmpretrain.visualization import UniversalVisualizer

        self.channels = read_order(cfg)
        self.inferencer = ImageClassificationInferencer(cfg, checkpoint, device)
        self.visualizer = self.inferencer.visualizer or UniversalVisualizer()
        self.threshold = threshold  # of detections; a class has none

    def name_classes(self, names: tuple[str, ...]) -> None:
        """Call the classes by `names`, in the JSON file and on pictures."""
        self.classes = self.inferencer.classes = names

    def predict(self, batch: 'list[Job]', pictures: Path | None) -> list[dict]:
        """Return one record per picture of `batch`; draw them into the folder `pictures`."""
        pictures = pictures if pictures and can_be_drawn(batch) else None
        images = [self._read(job) for job in batch]
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

    def _read(self, job: 'Job') -> 'np.ndarray':
        import mmcv

        if job.pixels is None:
            return mmcv.imread(str(job.path), channel_order=self.channels)
        return job.pixels if self.channels == 'bgr' else job.pixels[..., ::-1]

    def _draw(self, batch: 'list[Job]', samples: list, pictures: Path) -> None:
        """Draw as the inferencer does, which names pictures by their stems: a.jpg and a.png would be one."""
        import mmcv

        for job, sample in zip(batch, samples, strict=True):
            self.visualizer.visualize_cls(
                mmcv.imread(str(job.path), channel_order='rgb'),
                sample,
                classes=self.classes,
                draw_gt=False,
                name=str(job.name),
                out_file=str(pictures / job.picture),
            )

    def draw(self, image: 'np.ndarray', record: dict) -> 'np.ndarray':
        """Return `image`, (H, W, 3) uint8 RGB, with the class of its record and its score written on."""
        sample = self._sample(record['label'], record['score'])
        self.visualizer.visualize_cls(image, sample, classes=self.classes, draw_gt=False, name='picture')
        return self.visualizer.get_image()

    def _sample(self, label: int, score: float) -> 'DataSample':
        import torch
        from mmpretrain.structures import DataSample

        scores = torch.zeros(len(self.classes))
        scores[label] = score
        return DataSample().set_pred_label(label).set_pred_score(scores)

    def collect(self, records: Iterable[dict]) -> list[dict]:
        """Return `records` as a list."""
        return list(records)


def load_predictor(cfg: Config, checkpoint: str, device: str | None, threshold: float) -> Detector | Classifier:
    """Return the predictor of `cfg` with all weights and the class names of `checkpoint`.

    Args:
        cfg: an mmdet or mmpretrain config, changed in place.
        checkpoint: file of the weights.
        device: 'cpu', 'cuda:0', ...; None takes a GPU if there is one.
        threshold: detections below this score are dropped.

    Raises:
        InputError: a device that is not there, weights that do not fit, or no names of classes.
    """
    import torch
    from mmengine.runner import CheckpointLoader

    from mmsparseswin.checkpoints.training_files import load_or_refuse
    from mmsparseswin.cli.class_names import class_names

    if device is not None:
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise InputError(f'device {device!r}: {str(error).splitlines()[0]}') from None
    kind = Detector if cfg.get('default_scope') == 'mmdet' else Classifier
    predictor = kind(cfg, checkpoint, device, threshold)
    # The inferencers load what fits without a word about the rest.
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent')
    load_or_refuse(predictor.inferencer.model, content, strict=True)
    predictor.name_classes(class_names(cfg, content, predictor.inferencer.model, checkpoint))
    return predictor


def predict_jobs(
    predictor: Detector | Classifier, jobs: 'Iterator[Job]', batch_size: int, threshold: float, half: bool
) -> 'Iterator[tuple[Job, dict]]':
    """Yield the jobs and their records, predicted in batches; a fault of any picture is raised.

    Raises:
        InputError: a batch of no pictures.
    """
    from mmengine.runner import autocast

    if batch_size < 1:
        raise InputError(f'batch_size {batch_size}: must be at least 1')
    while batch := list(islice(jobs, batch_size)):
        predictor.threshold = threshold
        with quiet_console(), autocast(enabled=half):
            records = predictor.predict(batch, None)
        yield from zip(batch, records, strict=True)
