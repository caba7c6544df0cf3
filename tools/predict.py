"""Detect or classify what is on pictures: pictures with the predictions drawn, and one JSON file.

    python tools/predict.py CONFIG CHECKPOINT photo.jpg folder/ --out-dir predictions

predictions/pictures/...       the images, with boxes, masks and classes drawn
predictions/predictions.json   of a detector: COCO layout (images, annotations with bbox [x, y, w, h], score, RLE mask,
                               categories numbered from 1 in the order of the classes);
                               of a classifier: a list of file_name, class, label, score
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from mmsparseswin import cli
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory

if TYPE_CHECKING:
    from mmsparseswin.image_files import Job


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote')
    parser.add_argument('images', nargs='+', help='image files, and folders, which are searched to the bottom')
    parser.add_argument('--out-dir', default='predictions', help='folder for the results; default predictions')
    parser.add_argument('--batch-size', type=int, default=1, help='images at once')
    parser.add_argument('--score-thr', type=float, default=0.3, help='drop detections below this score; default 0.3')
    parser.add_argument('--device', help='cpu, cuda:0, ...; default: a GPU if there is one')
    cli.add_amp_option(parser)
    parser.add_argument('--no-pictures', action='store_true', help='write the JSON file only')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


class Detector:
    """mmdet's inferencer, and its results as COCO records."""

    def __init__(self, cfg: Config, checkpoint: str, args: argparse.Namespace) -> None:
        from mmdet.apis import DetInferencer

        for step in cfg.test_dataloader.dataset.pipeline:
            step.pop('skip_corrupt', None)  # the inferencer puts mmdet's loader in the place of ours
        self.inferencer = DetInferencer(cfg, checkpoint, args.device, show_progress=False)
        self.threshold = args.score_thr
        self.classes = self.inferencer.model.dataset_meta['classes']
        self.images: list[dict] = []
        self.annotations: list[dict] = []

    def add(self, batch: 'list[Job]', pictures: Path | None) -> None:
        """Predict `batch`."""
        import mmcv

        results = self.inferencer(
            [str(job.path) for job in batch],
            batch_size=len(batch),
            pred_score_thr=self.threshold,
            return_vis=pictures is not None,
            return_datasamples=True,
        )
        for index, (job, sample) in enumerate(zip(batch, results['predictions'], strict=True)):
            if pictures:
                mmcv.imwrite(results['visualization'][index][..., ::-1], str(pictures / job.name))
            height, width = sample.ori_shape
            image = dict(id=len(self.images) + 1, file_name=str(job.name), width=width, height=height)
            self.images.append(image)
            self._add_objects(self.inferencer.pred2dict(sample), image['id'])

    def _add_objects(self, found: dict[str, list], image_id: int) -> None:
        masks = found.get('masks') or [None] * len(found['labels'])
        for label, score, (x1, y1, x2, y2), mask in zip(
            found['labels'], found['scores'], found['bboxes'], masks, strict=True
        ):
            if score < self.threshold:
                continue
            number = len(self.annotations) + 1
            record = dict(id=number, image_id=image_id, category_id=label + 1, score=round(score, 4), iscrowd=0)
            record['bbox'] = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            record['area'] = round((x2 - x1) * (y2 - y1), 2)
            if mask is not None:
                record['segmentation'] = mask
            self.annotations.append(record)

    def results(self) -> dict[str, list]:
        """Everything predicted so far."""
        categories = [dict(id=index + 1, name=name) for index, name in enumerate(self.classes)]
        return dict(images=self.images, annotations=self.annotations, categories=categories)


class Classifier:
    """mmpretrain's inferencer."""

    def __init__(self, cfg: Config, checkpoint: str, args: argparse.Namespace) -> None:
        from mmpretrain import ImageClassificationInferencer

        self.inferencer = ImageClassificationInferencer(cfg, checkpoint, args.device)
        # CIFAR's data sets give RGB, so their preprocessor does not turn BGR round.
        self.channels = 'bgr' if getattr(self.inferencer.model.data_preprocessor, 'to_rgb', True) else 'rgb'
        self.records: list[dict] = []

    def add(self, batch: 'list[Job]', pictures: Path | None) -> None:
        """Predict `batch`."""
        import mmcv

        folder = pictures and pictures / batch[0].name.parent
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        paths = [str(job.path) for job in batch]
        images = [mmcv.imread(path, channel_order=self.channels) for path in paths]
        # The steps of its __call__, which would draw a progress bar for every batch.
        for data in self.inferencer.preprocess(images, len(images)):
            samples = self.inferencer.forward(data)
        self.inferencer.visualize(paths, samples, show_dir=folder)
        for job, found in zip(batch, self.inferencer.postprocess(samples, []), strict=True):
            label = int(found['pred_label'])
            name = found.get('pred_class', str(label))
            self.records.append(
                {'file_name': str(job.name), 'class': name, 'label': label, 'score': found['pred_score']}
            )

    def results(self) -> list[dict]:
        """Everything predicted so far."""
        return self.records


def main() -> None:
    """Predict."""
    args = parse_args()
    if args.batch_size < 1:
        raise InputError(f'--batch-size {args.batch_size}: must be at least 1')
    from mmengine.runner import CheckpointLoader, autocast  # torch comes after the command line: --help answers at once

    from mmsparseswin.checkpoints.training_files import check_checkpoint_file, load_or_refuse
    from mmsparseswin.cli import run_config
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.image_files import batches, find_images

    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    jobs = find_images(args.images)
    out = Path(args.out_dir)
    run_config.set_work_dir(cfg, str(out), args.config)
    predictor: Any = (Detector if cfg.get('default_scope') == 'mmdet' else Classifier)(cfg, args.checkpoint, args)
    # The inferencers load what fits without a word about the rest.
    checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location='cpu', logger='silent')
    load_or_refuse(predictor.inferencer.model, checkpoint, strict=True)
    half, done = run_config.tests_in_half(args.amp), 0
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task('Predicting', total=len(jobs))
        for batch in batches(jobs, args.batch_size):
            with autocast(enabled=half):
                predictor.add(batch, None if args.no_pictures else out / 'pictures')
            done += len(batch)
            bar.update(task, completed=done)
    if not done:
        raise InputError('none of the images could be read')
    (out / 'predictions.json').write_text(json.dumps(predictor.results()))
    print(f'{done} images, {len(jobs) - done} skipped: {out}/predictions.json')
    if done < len(jobs):
        sys.exit(1)


if __name__ == '__main__':
    cli.run_tool(main)
