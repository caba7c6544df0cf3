"""The confusion matrix of a classifier."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmsparseswin.registry import METRICS

_NAMED = 40  # with more classes their names would overlap
_NUMBERED = 20


@METRICS.register_module()
class ConfusionMatrix(BaseMetric):
    """Counts (truth, prediction); adds nothing to the metrics, :class:`ClassifierPicturesHook` writes it down.

    Attributes:
        matrix: (classes, classes) counts of the last evaluation, rows truth; None before, and in other processes.
    """

    matrix: Tensor | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep truth and prediction of one batch."""
        for sample in data_samples:
            self.results.append((int(sample['gt_label']), int(sample['pred_label']), len(sample['pred_score'])))

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict:
        """Count."""
        truth, predicted, classes = torch.tensor(results).unbind(1)
        size = int(classes[0])
        self.matrix = torch.bincount(size * truth + predicted, minlength=size**2).view(size, size)
        return {}

    def write(self, folder: Path) -> None:
        """Write confusion_matrix.json (counts) and confusion_matrix.png (share of each true class)."""
        assert self.matrix is not None
        names = [str(name) for name in (self.dataset_meta or {}).get('classes') or range(len(self.matrix))]
        content = {'classes': names, 'rows': 'truth', 'columns': 'prediction', 'matrix': self.matrix.tolist()}
        (folder / 'confusion_matrix.json').write_text(json.dumps(content))
        draw_matrix(self.matrix, names).savefig(folder / 'confusion_matrix.png', dpi=100)


def draw_matrix(matrix: Tensor, names: Sequence[str]) -> Figure:
    """Counts (classes, classes) as shares of each row."""
    shares = matrix / matrix.sum(1, keepdim=True).clamp(min=1)
    figure = Figure(figsize=(9, 8), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(shares, cmap='viridis', vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label='share of the true class')
    axes.set(xlabel='prediction', ylabel='truth')
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= _NUMBERED:
        for row, counts in enumerate(matrix.tolist()):
            for column, count in enumerate(counts):
                color = 'black' if shares[row, column] > 0.5 else 'white'
                axes.text(column, row, str(count), ha='center', va='center', color=color, fontsize=8)
    return figure
