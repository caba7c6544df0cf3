"""The page of a classifier's mistakes: classes, confusions, calibration, the surest mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmsparseswin.visualization import charts, html
from mmsparseswin.visualization.marks import draw_marks

if TYPE_CHECKING:
    from mmsparseswin.visualization.samples import Samples

_SIDE = 200
_MOST_PAIRS = 12
_BINS = 10


def calibration(labels: np.ndarray, scores: np.ndarray, bins: int = _BINS) -> tuple[list[dict[str, float]], float]:
    """Return the bins of the winning scores, and the expected calibration error (Guo et al., ICML 2017)."""
    sure, right = scores.max(1), scores.argmax(1) == labels
    which = np.minimum((sure * bins).astype(int), bins - 1)
    found, error = [], 0.0
    for index in range(bins):
        inside = which == index
        count = int(inside.sum())
        accuracy = float(right[inside].mean()) if count else 0.0
        found.append(dict(bin_lower=index / bins, bin_upper=(index + 1) / bins, avg_accuracy=accuracy, count=count))
        error += abs(accuracy - float(sure[inside].mean())) * count / len(labels) if count else 0.0
    return found, error


def write_classifier_report(
    labels: np.ndarray,
    scores: np.ndarray,
    indices: np.ndarray,
    names: tuple[str, ...],
    samples: 'Samples',
    pictures: int,
    path: Path,
    subtitle: str,
) -> None:
    """Write the page.

    Args:
        labels: (N,) true labels.
        scores: (N, classes), softmax.
        indices: (N,) numbers of the samples in the data set.
        names: of the classes.
        samples: the data set, to draw from.
        pictures: how many mistakes to show.
        path: the HTML file.
        subtitle: what was tested.
    """
    said = scores.argmax(1)
    classes = len(names)
    matrix = np.bincount(classes * labels + said, minlength=classes**2).reshape(classes, classes)
    top = {'top 1': float((said == labels).mean())}
    if classes > 5:
        top['top 5'] = float((np.argsort(-scores, 1)[:, :5] == labels[:, None]).any(1).mean())
    numbers = {name: f'{100 * value:.2f} %' for name, value in top.items()}
    numbers |= {'pictures': f'{len(labels):,}', 'mistakes': f'{int((said != labels).sum()):,}'}
    bins, error = calibration(labels, scores)
    rows = []
    for label, name in enumerate(names):
        objects, right = int(matrix[label].sum()), int(matrix[label, label])
        given = int(matrix[:, label].sum())
        recall, precision = (right / total if total else '–' for total in (objects, given))
        rows.append((name, objects, recall, precision, objects - right))
    off = matrix * (1 - np.eye(classes, dtype=int))
    pairs = np.argwhere(off)
    pairs = pairs[np.argsort(-off[tuple(pairs.T)], kind='stable')][:_MOST_PAIRS]
    confused = [(names[row], names[column], int(off[row, column])) for row, column in pairs]
    listed = html.table(('truth', 'predicted as', 'count'), confused) if confused else '<p>None.</p>'
    sections = [
        html.Section(
            'Scores', 'Share of pictures whose label is the best guess, or among the best five.', html.tiles(numbers)
        ),
        html.Section(
            'Classes',
            'Recall: share of its pictures that get this class. Precision: share of what gets this class that is one.',
            html.table(('class', 'pictures', 'recall', 'precision', 'mistakes'), rows),
        ),
        html.Section(
            'Confusions',
            'Numbers are counts, colours shares of the row.',
            html.figure(charts.confusion(matrix, names, names)) + listed,
        ),
        html.Section(
            'Calibration',
            'How often guesses of a score are right. Bars below the dashed line: the scores promise too much.',
            html.figure(charts.reliability(bins, 'pictures'))
            + html.tiles({'expected calibration error': f'{error:.3f}'}),
        ),
        html.Section(
            'Surest mistakes',
            'Pictures as the model gets them, where it is surest of another class than the label: the worst '
            'mistakes, or labels that are wrong.',
            _surest(labels, scores, indices, names, samples, pictures),
        ),
    ]
    html.write_page(path, 'Mistakes of a classifier', subtitle, sections)


def _surest(
    labels: np.ndarray,
    scores: np.ndarray,
    indices: np.ndarray,
    names: tuple[str, ...],
    samples: 'Samples',
    number: int,
) -> str:
    said, rows = scores.argmax(1), np.arange(len(labels))
    margin = scores[rows, said] - scores[rows, labels]
    chosen = np.argsort(-margin, kind='stable')[:number]
    drawn = []
    for row in chosen[margin[chosen] > 0]:
        sample = next(samples.views(int(indices[row]), 1))
        label, guess = names[labels[row]], names[said[row]]
        caption = f'labelled {label} ({scores[row, labels[row]]:.2f}), predicted {guess} ({scores[row, said[row]]:.2f})'
        drawn.append((draw_marks(sample.pixels, sample.marks, (), _SIDE), caption))
    return html.pictures(drawn, small=True) if drawn else '<p>None.</p>'
