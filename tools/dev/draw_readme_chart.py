"""Draw the README's chart, docs/images/speed.png, from a committed result of tools/analysis_tools/benchmark.py.

python tools/dev/draw_readme_chart.py
"""

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / 'docs' / 'benchmarks' / 'backbones-cpu.json'
PICTURE = ROOT / 'docs' / 'images' / 'speed.png'
RUNS = {'inference 224': 'Inference', 'training 224': 'Training (forward and backward)'}
LABELS = {
    'sparseswin-tiny': 'SparseSwin-T (ours)',
    'swin-tiny': 'Swin-T (ours)',
    'mmdet:swin-t': 'Swin-T (mmdet)',
    'mmpretrain:swin-t': 'Swin-T (mmpretrain)',
    'timm:swin-t': 'Swin-T (timm)',
    'torchvision:swin-t': 'Swin-T (torchvision)',
}


def rows(result: dict, run: str) -> list[tuple[str, float]]:
    """Return (model, images per second by the median time of a batch) in the order of `LABELS`."""
    records = {r['model']: r for each in result['runs'] if each['name'] == run for r in each['records']}
    return [(m, int(records[m]['size'].split('x')[0]) / records[m]['median']) for m in LABELS if m in records]


def draw(result: dict) -> Figure:
    """Return one panel of bars per run."""
    panels = {title: rows(result, run) for run, title in RUNS.items()}
    figure = Figure(figsize=(9, 4.2), layout='constrained')
    heights = [len(found) for found in panels.values()]
    axes = figure.subplots(len(panels), 1, gridspec_kw=dict(height_ratios=heights))
    for axis, (title, found) in zip(axes, panels.items(), strict=True):
        names, speeds = [LABELS[model] for model, _ in found], [speed for _, speed in found]
        colors = ['#b0b7bf' if ':' in model else '#1f6feb' for model, _ in found]
        axis.bar_label(axis.barh(names, speeds, color=colors), fmt='%.1f', padding=3)
        axis.set_title(title, loc='left', fontsize=11)
        axis.invert_yaxis()
        axis.margins(x=0.1)
        axis.spines[['top', 'right']].set_visible(False)
    machine = result['environment']
    axes[-1].set_xlabel(
        f'images per second: batches of 8 of 224 x 224, float32, {machine["cpu"]} ({machine["capability"]}), '
        f'{machine["cores"]} cores, torch {machine["packages"]["torch"]}'
    )
    return figure


def main() -> None:
    """Write the picture."""
    draw(json.loads(RESULT.read_text(encoding='utf-8'))).savefig(PICTURE, dpi=110)
    print(f'wrote {PICTURE.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
