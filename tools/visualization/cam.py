"""Draw what the predictions of a detector or a classifier go by (Grad-CAM), and its feature maps.

    python tools/visualization/cam.py CONFIG CHECKPOINT photo.jpg folder/              # cam/*.png
    python tools/visualization/cam.py CONFIG CHECKPOINT photo.jpg --class dog --method eigencam
    python tools/visualization/cam.py CONFIG CHECKPOINT photo.jpg --channels 16        # feature maps, too

The class is the most likely one, of a detector the one with the largest sum of scores. Layers: the outputs of an FPN,
or the last stage whose tokens have a place in the image; --layer names others. Needs grad-cam.
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='an mmdet or mmpretrain config')
    parser.add_argument('checkpoint', help='a file that training wrote, or .safetensors')
    parser.add_argument('images', nargs='+', help='image files and folders, searched recursively')
    parser.add_argument('--out-dir', default='cam', help='folder for the pictures; default cam')
    parser.add_argument('--class', dest='name', help='name of the class to explain; default: the most likely one')
    parser.add_argument(
        '--method', default='gradcam', help='gradcam (default), gradcam++, hirescam, eigencam, layercam'
    )
    parser.add_argument('--layer', nargs='+', default=(), help='layers, e.g. backbone.stages.2.blocks.5')
    parser.add_argument('--channels', type=int, default=0, help='draw so many feature maps of the first layer, too')
    parser.add_argument('--device', help='cpu, cuda:0, ...; default: a GPU if there is one')
    parser.add_argument('--cfg-options', nargs='+', action=cli.OptionsAction, metavar='KEY=VALUE')
    cli.add_trust_option(parser)
    return parser.parse_args()


def main() -> None:
    """Draw the maps."""
    args = parse_args()
    import mmcv  # slow to import; --help works without it
    import numpy as np
    import torch
    from PIL import Image

    from mmsparseswin.checkpoints.training_files import check_checkpoint_file
    from mmsparseswin.cli import run_config
    from mmsparseswin.cli.predictors import Detector, load_predictor
    from mmsparseswin.engine.safe_reader import install_safe_reader
    from mmsparseswin.image_files import batches, find_images
    from mmsparseswin.visualization import class_activation
    from mmsparseswin.visualization.sheets import beside, contact_sheet, with_heading

    if args.method not in class_activation.METHODS:
        raise InputError(f'--method {args.method}: one of {", ".join(class_activation.METHODS)}')
    show = class_activation.load_grad_cam().utils.image.show_cam_on_image
    install_safe_reader(args.trust_checkpoint)
    cfg = run_config.load_config(args.config, args.cfg_options)
    check_checkpoint_file(args.checkpoint, args.trust_checkpoint)
    out = Path(args.out_dir)
    jobs = find_images(args.images, out)
    run_config.set_work_dir(cfg, args.out_dir, args.config)
    predictor = load_predictor(cfg, args.checkpoint, args.device, 0.0)
    detects, names = isinstance(predictor, Detector), predictor.classes
    order = 'bgr' if isinstance(predictor, Detector) else predictor.channels
    if args.name and args.name not in names:
        raise InputError(f'--class {args.name}: the model knows {", ".join(names)}')
    model = predictor.inferencer.model.eval()
    scores = class_activation.ClassScores(model, len(names), detects)
    layers = class_activation.find_layers(model, args.layer)
    for batch in batches(jobs, 1):
        (job,) = batch
        pixels = mmcv.imread(str(job.path), channel_order=order)
        data = next(iter(predictor.inferencer.preprocess([pixels], 1)))
        data = data[1] if detects else data
        picture = data['inputs'][0].permute(1, 2, 0).float().cpu().numpy().clip(0, 255) / 255
        picture = picture if order == 'rgb' else np.ascontiguousarray(picture[..., ::-1])
        prepared = model.data_preprocessor(data, False)
        inputs, scores.samples = prepared['inputs'], prepared['data_samples']
        with torch.no_grad():
            likely = scores(inputs)[0]
        label = names.index(args.name) if args.name else int(likely.argmax())
        heat = class_activation.activation_map(scores, inputs, [one for _, one in layers], args.method, label)
        height, width = picture.shape[:2]
        drawn = Image.fromarray(show(picture.astype(np.float32), heat[:height, :width], use_rgb=True))
        factor = max(1, 320 // max(height, width))
        plain = Image.fromarray((picture * 255).round().astype(np.uint8))
        pair = [one.resize((width * factor, height * factor)) for one in (plain, drawn)]
        title = f'{names[label]} ({likely[label]:.2f}), {args.method}'
        page = beside([with_heading(pair[0], job.name.name, 2), with_heading(pair[1], title, 2)])
        target = out / job.name.with_name(job.name.name + '.png')
        target.parent.mkdir(parents=True, exist_ok=True)
        page.save(target)
        if args.channels > 0:
            tiles = []
            for channel, values in class_activation.feature_maps(scores, inputs, layers[0][1], args.channels):
                grey = Image.fromarray((255 * values).round().astype(np.uint8)).resize(
                    (128, round(128 * values.shape[0] / values.shape[1])), 0
                )
                tiles.append(with_heading(grey.convert('RGB'), f'channel {channel}', 1))
            contact_sheet(tiles, 8).save(target.with_name(job.name.name + '.features.png'))
        print(f'{job.name}: {names[label]} {likely[label]:.3f}; {target}')
    print(f'layers: {", ".join(name for name, _ in layers)}')


if __name__ == '__main__':
    cli.run_tool(main)
