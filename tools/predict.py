"""Detect or classify what is on pictures: pictures with the predictions drawn, and one JSON file.

    python tools/predict.py CONFIG CHECKPOINT photo.jpg folder/ --out-dir predictions

predictions/pictures/...       the images, with boxes, masks and classes drawn, under their own names: photo.jpg, and
                               sub/photo.png of folder/sub/photo.png (a .pgm, which has no colours, as .pgm.png);
                               if two images have one name, as a/1.jpg and b/1.jpg, all names are paths below the
                               deepest folder that holds them all; file_name below is this name
predictions/predictions.jsonl  a line per picture, written as soon as it is predicted; --resume goes on behind them
predictions/predictions.json   of a detector: COCO layout (images, annotations with bbox [x, y, w, h], score, RLE mask,
                               categories numbered from 1 in the order of the classes);
                               of a classifier: a list of file_name, class, label, score

A video clip.mp4 gives predictions/pictures/clip.mp4, and records of its frames named clip_000000.jpg and so on.
CHECKPOINT may be a file of mmsparseswin export, .onnx or .xml, which runs on the CPU.

Classes have the names in the checkpoint, else those of the config's data set. Pictures that an earlier run drew into
predictions/pictures are not predicted again.

With --show-windows also predictions/pictures/photo.jpg.windows.png: the image as the model sees it, and which windows
each stage keeps of it (model.backbone.keep_windows, docs/sparsity.md); the others are dark.

A picture that cannot be predicted is named on stderr; the others are not lost, and the exit code is 1.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from mmsparseswin import cli
from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote, .safetensors, or an exported .onnx or .xml')
    parser.add_argument('images', nargs='+', help='image files, videos, and folders, searched to the bottom for images')
    parser.add_argument('--out-dir', default='predictions', help='folder for the results; default predictions')
    parser.add_argument('--batch-size', type=int, default=1, help='images at once')
    parser.add_argument('--score-thr', type=float, default=0.3, help='drop detections below this score; default 0.3')
    parser.add_argument('--device', help='cpu, cuda:0, ...; default: a GPU if there is one')
    cli.add_amp_option(parser)
    parser.add_argument('--no-pictures', action='store_true', help='write the JSON file only')
    parser.add_argument('--show-windows', action='store_true', help='draw the windows that the model keeps')
    parser.add_argument('--resume', action='store_true', help='go on with the pictures that a stopped run left')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Predict."""
    args = parse_args()
    if args.batch_size < 1:
        raise InputError(f'--batch-size {args.batch_size}: must be at least 1')
    if args.show_windows and args.batch_size > 1:
        raise InputError('--show-windows draws one image after the other: leave out --batch-size')
    from mmengine.runner import autocast  # torch comes after the command line: --help answers at once

    from mmsparseswin.checkpoints.training_files import check_checkpoint_file
    from mmsparseswin.cli import run_config
    from mmsparseswin.cli.exported_predictor import exported_predictor, is_exported
    from mmsparseswin.cli.prediction_lines import PredictionLines, predict_each
    from mmsparseswin.cli.predictors import load_predictor
    from mmsparseswin.cli.progress import show_progress
    from mmsparseswin.cli.videos import count_frames, predict_video, split_videos
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.image_files import batches, find_images

    keep_freed_memory()
    install_safe_reader(args.trust_checkpoint)
    exported = is_exported(args.checkpoint)
    if exported and (args.show_windows or args.amp or args.device not in (None, 'cpu')):
        raise InputError('an exported file runs on the CPU in float32: leave out --show-windows, --amp and --device')
    cfg = run_config.load_config(args.config, args.cfg_options)
    if not exported:
        check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    out = Path(args.out_dir)
    inputs, videos = split_videos(args.images)
    if videos and args.show_windows:
        raise InputError('--show-windows draws images, no videos')
    jobs = find_images(inputs, out / 'pictures')
    run_config.set_work_dir(cfg, str(out), args.config)
    predictor: Any = (
        exported_predictor(cfg, args.checkpoint, args.score_thr)
        if exported
        else load_predictor(cfg, args.checkpoint, args.device, args.score_thr)
    )
    half = not exported and run_config.tests_in_half(args.amp)
    run = dict(config=args.config, checkpoint=args.checkpoint, score_thr=args.score_thr)
    windows: Any = contextlib.nullcontext()
    if args.show_windows:
        from mmsparseswin.analysis.window_pictures import record_windows, save_windows

        windows = record_windows(predictor.inferencer.model)
    pictures = None if args.no_pictures else out / 'pictures'
    names = [str(job.name) for job in jobs]
    with windows as seen, PredictionLines(out / 'predictions.jsonl', run, args.resume) as lines:
        left = [job for job in jobs if not lines.has(job)]
        with show_progress('Predicting', len(left)) as advance:
            for batch in batches(left, args.batch_size):
                with autocast(enabled=half):
                    for job, record in predict_each(predictor, batch, pictures):
                        lines.add(record, job.path)
                        if args.show_windows:
                            save_windows(seen, predictor.inferencer.model, out / 'pictures' / f'{job.name}.windows.png')
                advance(len(batch))
        for video in videos:
            with show_progress(f'Predicting {video.name}', count_frames(video)) as advance, autocast(enabled=half):
                names += predict_video(predictor, video, lines, args.batch_size, pictures, advance)
    done = [lines.records[name] for name in names if name in lines.records]
    if not done:
        raise InputError('none of the images could be read')
    write_atomically(out / 'predictions.json', json.dumps(predictor.collect(done)).encode())
    print(f'{len(done)} images, {len(names) - len(done)} skipped: {out}/predictions.json')
    if len(done) < len(names):
        sys.exit(1)


if __name__ == '__main__':
    cli.run_tool(main)
