"""The page of a detector's mistakes: kinds of errors, classes, confusions, calibration, pictures, doubtful labels."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mmsparseswin.visualization import charts, html
from mmsparseswin.visualization.detector_scores import IOU, DetectorScores
from mmsparseswin.visualization.flagged import read_picture
from mmsparseswin.visualization.marks import Marks, draw_marks
from mmsparseswin.visualization.sheets import beside, with_heading

_KINDS = {
    'Cls': ('wrong class', 'the box fits an object of another class'),
    'Loc': ('misplaced', 'right class, but the box overlaps its object too little'),
    'Both': ('wrong class and misplaced', 'the box overlaps an object of another class a little'),
    'Dupe': ('twice', 'a second box on an object that is found already'),
    'Bkg': ('nothing there', 'the box is on no object'),
    'Miss': ('missed', 'an object that no box is near'),
}
_SIDE = 248  # pixels of a picture; two stand side by side
_MOST_PAIRS = 12


class DetectorReport:
    """Sections of the page.

    Args:
        scores: truth and predictions.
        folder: of the pictures.
        pictures: how many to show of each kind.
    """

    def __init__(self, scores: DetectorScores, folder: str, pictures: int) -> None:
        self.scores, self.folder, self.number = scores, folder, pictures
        self._truth: dict[int, list[dict]] = defaultdict(list)
        self._found: dict[int, list[tuple[int, dict]]] = defaultdict(list)  # with ids of the confident evaluation
        for one in scores.truth['annotations']:
            self._truth[one['image_id']].append(one)
        for number, one in enumerate(scores.shown, 1):
            self._found[one['image_id']].append((number, one))
        self._images = {one['id']: one for one in scores.truth['images']}

    def sections(self) -> list[html.Section]:
        """Return all sections."""
        return [self._summary(), self._kinds(), self._classes(), self._confusion(), self._calibration(), *self._drawn()]

    def _summary(self) -> html.Section:
        values = {
            name: 'no such objects' if np.isnan(value) else f'{value:.3f}'
            for name, value in self.scores.average_precision().items()
        }
        counts = {
            'pictures': f'{len(self._images):,}',
            'objects': f'{len(self.scores.truth["annotations"]):,}',
            'predictions': f'{len(self.scores.predictions):,}',
            f'with a score from {self.scores.threshold:g}': f'{len(self.scores.shown):,}',
        }
        text = 'COCO average precision of boxes over all predictions, and what it was computed from.'
        return html.Section('Scores', text, html.tiles(values) + '<br>' + html.tiles(counts))

    def _kinds(self) -> html.Section:
        tide = self.scores.full.tide_errors(pos_thr=IOU, bg_thr=0.1)
        gain = {name: tide['delta_ap'][key] for key, (name, _) in _KINDS.items()}
        rows = [
            (name, tide['counts'][key], float(tide['delta_ap'][key]), meaning)
            for key, (name, meaning) in _KINDS.items()
        ]
        text = (
            f'What AP50 ({tide["ap_base"]:.3f}) would gain if one kind of error were mended and nothing else (TIDE, '
            'computed by hotcoco). The gains do not add up. Counts are over all predictions, weak ones too.'
        )
        chart = html.figure(charts.bars(gain, 'gain in AP50'))
        return html.Section(
            'Kinds of errors', text, chart + html.table(('kind', 'count', 'gain in AP50', 'meaning'), rows)
        )

    def _classes(self) -> html.Section:
        rows = [
            (name, *('–' if np.isnan(value) else value for value in (ap, ap50)), *counts)
            for name, ap, ap50, *counts in self.scores.per_class()
        ]
        head = ('class', 'AP', 'AP50', 'objects', 'found', 'missed', 'false')
        text = (
            f'Found, missed and false count predictions with a score from {self.scores.threshold:g} on, at an overlap '
            f'(IoU) of {IOU}. A click on a head sorts.'
        )
        return html.Section('Classes', text, html.table(head, rows))

    def _confusion(self) -> html.Section:
        matrix = self.scores.confusion()
        names = self.scores.names
        chart = charts.confusion(matrix, [*names, 'nothing'], [*names, 'missed'])
        off = matrix[:-1, :-1] * (1 - np.eye(len(names), dtype=int))
        pairs = np.argwhere(off)
        pairs = pairs[np.argsort(-off[tuple(pairs.T)], kind='stable')][:_MOST_PAIRS]
        rows = [(names[row], names[column], int(off[row, column])) for row, column in pairs]
        text = (
            f'Predictions with a score from {self.scores.threshold:g} on, matched to the truth whatever the class (IoU '
            f'{IOU}). Numbers are counts, colours shares of the row.'
        )
        listed = (
            html.table(('truth', 'predicted as', 'count'), rows) if rows else '<p>No class is taken for another.</p>'
        )
        return html.Section('Confusions', text, html.figure(chart) + listed)

    def _calibration(self) -> html.Section:
        found = self.scores.full.calibration(n_bins=10, iou_threshold=IOU)
        text = 'How often predictions of a score are right. Bars below the dashed line: the scores promise too much.'
        if not found['num_detections']:
            return html.Section('Calibration', text, '<p>No predictions.</p>')
        chart: Figure = charts.reliability(found['bins'], 'predictions')
        numbers = html.tiles({'expected calibration error': f'{found["ece"]:.3f}', 'largest': f'{found["mce"]:.3f}'})
        return html.Section('Calibration', text, html.figure(chart) + numbers)

    def _drawn(self) -> list[html.Section]:
        worst = [
            (
                self._pair(image),
                f'{self._images[image]["file_name"]}: {one["tp"]} found, {one["fn"]} missed, {one["fp"]} false',
            )
            for image, one in self.scores.worst(self.number)
        ]
        text = (
            f'Truth on the left, predictions with a score from {self.scores.threshold:g} on the right, the same colour '
            'for a class. Missed objects and wrong boxes say so; right ones bear their class only.'
        )
        sections = [html.Section('Worst pictures', text, html.pictures(worst) if worst else '<p>None.</p>')]
        doubts = []
        for doubt in self.scores.diagnostics['label_errors'][: self.number]:
            said, score = doubt['dt_category'], doubt['dt_score']
            if doubt['type'] == 'wrong_label':
                caption = f'labelled {doubt["gt_category"]}, predicted {said} ({score:.2f}), overlap {doubt["iou"]:.2f}'
            else:
                caption = f'no label, predicted {said} ({score:.2f})'
            doubts.append((self._doubt(doubt), f'{self._images[doubt["image_id"]]["file_name"]}: {caption}'))
        text = (
            'Where a sure prediction contradicts the truth, the truth may be at fault: the surest first. The box of '
            'the prediction is drawn with the label that it contradicts.'
        )
        body = html.pictures(doubts, small=True) if doubts else '<p>None.</p>'
        return [*sections, html.Section('Labels to look at', text, body)]

    def _pixels(self, image: int) -> np.ndarray:
        record = self._images[image]
        return read_picture(os.path.join(self.folder, record['file_name']), (record['width'], record['height']))

    def _pair(self, image: int) -> Image.Image:
        """Return truth and predictions of a picture side by side."""
        pixels, names = self._pixels(image), self.scores.names
        status, matched = self.scores.diagnostics['dt_status'], self.scores.diagnostics['gt_status']
        truth = self._truth[image]
        found = sorted(self._found[image], key=lambda pair: pair[1]['score'])
        texts = []
        for one in truth:
            missed = not one['iscrowd'] and matched.get(one['id']) == 'fn'
            texts.append(
                names[one['category_id'] - 1] + (' missed' if missed else ' (crowd)' if one['iscrowd'] else '')
            )
        left = draw_marks(pixels, _marks(truth, texts), names, _SIDE)
        texts = []
        for number, one in found:
            wrong = f': {_fault(one, truth, names)}' if status.get(number) == 'fp' else ''
            texts.append(f'{names[one["category_id"] - 1]} {100 * one["score"]:.0f}{wrong}')
        right = draw_marks(pixels, _marks([one for _, one in found], texts), names, _SIDE)
        return beside([with_heading(left, 'truth', bold=True), with_heading(right, 'prediction', bold=True)], 4)

    def _doubt(self, doubt: dict[str, Any]) -> Image.Image:
        found = self.scores.shown[doubt['dt_id'] - 1]
        label = doubt['gt_category'] or 'no label'
        return draw_marks(self._pixels(doubt['image_id']), _marks([found], [f'{label}?']), (), _SIDE)


def _marks(records: list[dict[str, Any]], texts: list[str]) -> Marks:
    boxes = np.array([one['bbox'] for one in records], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Marks(boxes, np.array([one['category_id'] - 1 for one in records], dtype=int), None, None, texts)


def _fault(found: dict[str, Any], truth: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    """Return in words why a prediction is no hit; the bounds are TIDE's."""
    overlaps = [(_iou(found['bbox'], one['bbox']), one['category_id']) for one in truth if not one['iscrowd']]
    same = max((iou for iou, category in overlaps if category == found['category_id']), default=0.0)
    other, category = max(((iou, one) for iou, one in overlaps if one != found['category_id']), default=(0.0, 0))
    if same >= IOU:
        return 'twice'
    if other >= IOU:
        return f'is {names[category - 1]}'
    return 'misplaced' if same >= 0.1 else 'nothing' if other < 0.1 else 'wrong'


def _iou(one: list[float], other: list[float]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / max(one[2] * one[3] + other[2] * other[3] - shared, 1e-9)


def write_detector_report(scores: DetectorScores, folder: str, pictures: int, path: Path, subtitle: str) -> None:
    """Write the page."""
    html.write_page(path, 'Mistakes of a detector', subtitle, DetectorReport(scores, folder, pictures).sections())
