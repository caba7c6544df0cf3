"""Convert Swin or SparseSwin weights of other libraries to ours.

    python tools/model_converters/convert.py swin_tiny_patch4_window7_224.pth swin_tiny.pth
    python tools/model_converters/convert.py https://download.pytorch.org/models/swin_t-704ceda3.pth swin_t.safetensors

Prints whose weights they are, the model they fit, and what was dropped and why. A config can also name the original
file: ``init_cfg=dict(type='Pretrained', checkpoint=...)`` converts on load.
"""

import argparse
import json

from mmsparseswin import cli

# Repeated from mmsparseswin.checkpoints.SOURCES, which imports torch: --help works without it.
SOURCES = (
    *('sparseswindet', 'sparseswin', 'sparseswin_dense', 'microsoft', 'timm', 'torchvision', 'transformers', 'mmdet'),
    *('mmpretrain', 'stvitr_cls', 'stvitr_det', 'mmsparseswin'),
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', metavar='IN', help='.pth, .pt, .bin or .safetensors; a path or an http(s) URL')
    parser.add_argument('out', metavar='OUT', help='.pth or .safetensors')
    parser.add_argument(
        '--source',
        default='auto',
        choices=['auto', *SOURCES],
        help='library whose parameter names the file has; default: detected',
    )
    parser.add_argument(
        '--ema',
        action='store_true',
        help='use averaged weights where a file has others, too; of a checkpoint of mmengine they are used anyway',
    )
    return parser.parse_args()


def main() -> None:
    """Convert a file."""
    args = parse_args()
    from mmsparseswin.checkpoints import convert, write_weights  # slow to import; --help works without it

    converted = convert(args.checkpoint, args.source, args.ema)
    meta = {'source': converted.source, 'converted_from': args.checkpoint, 'model': json.dumps(converted.model)}
    write_weights(converted.state_dict, args.out, meta)
    print(converted)
    print(f'written   {args.out}')


if __name__ == '__main__':
    cli.run_tool(main)
