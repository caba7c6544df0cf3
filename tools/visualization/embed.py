"""Draw the features of a classifier's images in the plane by t-SNE: similar pictures lie side by side.

    mmsparseswin extract-features CONFIG CHECKPOINT folder/ --out-dir features --no-pictures
    python tools/visualization/embed.py features/features.npz --out features.png

Images in folders of their classes (dog/1.jpg) get the colour of their folder. Needs scikit-learn.
"""

import argparse
from pathlib import Path

from mmsparseswin import cli
from mmsparseswin.errors import InputError


def main() -> None:
    """Draw the plane."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('features', help='features.npz of extract-features')
    parser.add_argument('--out', default='features.png', help='the picture; default features.png')
    parser.add_argument('--perplexity', type=float, default=30, help='about the number of neighbours; default 30')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    from mmsparseswin.visualization.plane import draw_plane, lay_out, read_features  # slow to import

    if Path(args.out).suffix not in ('.png', '.svg', '.pdf'):
        raise InputError(f'--out {args.out}: must end with .png, .svg or .pdf')
    features, files = read_features(args.features)
    places = lay_out(features, args.perplexity, args.seed)
    draw_plane(places, [str(Path(file).parent) for file in files]).savefig(args.out, dpi=120)
    print(f'{len(features)} images: {args.out}')


if __name__ == '__main__':
    cli.run_tool(main)
