"""Convert other people's Swin or SparseSwin weights to ours.

    python tools/model_converters/convert.py swin_tiny_patch4_window7_224.pth swin_tiny.pth
    python tools/model_converters/convert.py https://download.pytorch.org/models/swin_t-704ceda3.pth swin_t.safetensors

Prints whose weights they are, the model they fit, and what was dropped and why. A config can also name the original
file: ``init_cfg=dict(type='Pretrained', checkpoint=...)`` converts on load.
"""

import argparse
import json

from mmsparseswin import cli

# The names of mmsparseswin.checkpoints.SOURCES, whose import needs torch: --help answers without.
SOURCES = (
    *('sparseswin', 'sparseswin_dense', 'microsoft', 'timm', 'torchvision', 'transformers', 'mmdet', 'mmpretrain'),
    *('stvitr_cls', 'stvitr_det', 'mmsparseswin'),
)


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', metavar='IN', help='.pth, .pt, .bin or .safetensors; a path or an http(s) URL')
    parser.add_argument('out', metavar='OUT', help='.pth or .safetensors')
    parser.add_argument('--source', default='auto', choices=['auto', *SOURCES], help='whose names it has')
    parser.add_argument('--ema', action='store_true', help='take the averaged weights of a file that has them')
    return parser.parse_args()


def main() -> None:
    """Convert one file."""
    args = parse_args()
    from mmsparseswin.checkpoints import convert, write_weights  # torch comes after the command line

    converted = convert(args.checkpoint, args.source, args.ema)
    meta = {'source': converted.source, 'converted_from': args.checkpoint, 'model': json.dumps(converted.model)}
    write_weights(converted.state_dict, args.out, meta)
    print(converted)
    print(f'written   {args.out}')


if __name__ == '__main__':
    cli.run_tool(main)
