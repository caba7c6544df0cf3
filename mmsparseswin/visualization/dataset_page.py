"""The page about a detector's data sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmsparseswin.visualization import charts, html
from mmsparseswin.visualization.dataset_facts import AnchorFacts, SeenFacts, StoredFacts, size_shares

_MOST_POINTS = 5000


class DatasetPage:
    """Sections about one data set.

    Args:
        split: its name.
        names: of the classes.
        stored: facts of the file.
        seen: facts of a sample after the pipeline.
        anchors: how well anchors fit; None for a model without.
        findings: lines of the data check.
    """

    def __init__(
        self,
        split: str,
        names: Sequence[str],
        stored: StoredFacts,
        seen: SeenFacts,
        anchors: AnchorFacts | None,
        findings: Sequence[str],
    ) -> None:
        self.split, self.names, self.stored, self.seen = split, names, stored, seen
        self.anchors, self.findings = anchors, findings

    def sections(self) -> list[html.Section]:
        """Return all sections; those about boxes only if there are any."""
        parts = [self._summary(), self._images()]
        if len(self.stored.boxes):
            parts += [self._classes(), self._boxes_per_image(), self._box_sizes()]
        if self.anchors is not None and len(self.anchors.best):
            parts.append(self._anchors(self.anchors))
        return parts

    def _summary(self) -> html.Section:
        stored = self.stored
        numbers = {
            'pictures': f'{len(stored.sizes):,}',
            'without objects': f'{int((stored.per_image == 0).sum()):,}',
            'objects': f'{len(stored.boxes):,}',
            'crowds': f'{stored.crowds:,}',
            'classes': f'{len(self.names):,}',
        }
        found = html.lines(self.findings) if self.findings else '<p>The data check finds nothing to say.</p>'
        text = 'Counts of the annotation file, and what the check of the data set (check-data) says about it.'
        return html.Section(self.split, text, html.tiles(numbers) + found)

    def _images(self) -> html.Section:
        chart = Figure(figsize=(9, 3.6), layout='constrained')
        left, right = chart.subplots(1, 2)
        for axes, sizes, title in (
            (left, self.stored.sizes, 'as stored'),
            (right, self.seen.sizes, 'as the model gets them'),
        ):
            values, counts = np.unique(sizes, axis=0, return_counts=True)
            axes.scatter(*values.T, s=12 + 200 * counts / counts.max(), color=charts.BLUE, alpha=0.5, edgecolors='none')
            axes.set_title(title, loc='left', fontsize=11)
            wide, high = 1.12 * sizes.max(0)
            axes.set(xlabel='width', ylabel='height', xlim=(0, wide), ylim=(0, high))
            charts.plain(axes)
        low, high = (self.stored.sizes.min(0).astype(int), self.stored.sizes.max(0).astype(int))
        text = (
            f'Widths from {low[0]} to {high[0]} and heights from {low[1]} to {high[1]} pixels. A larger dot stands for '
            f'more pictures. On the right, {self.seen.samples} pictures after the pipeline, before batches are padded.'
        )
        return html.Section(f'{self.split}: sizes of pictures', text, html.figure(chart))

    def _classes(self) -> html.Section:
        counts = np.bincount(self.stored.labels, minlength=len(self.names))
        rows = []
        for label, name in enumerate(self.names):
            boxes = self.stored.boxes[self.stored.labels == label]
            median = f'{np.median(boxes[:, 0]):.0f} x {np.median(boxes[:, 1]):.0f}' if len(boxes) else '–'
            rows.append((name, int(counts[label]), f'{100 * counts[label] / counts.sum():.1f} %', median))
        text = 'Objects of each class, without crowds. Rare classes are learnt worst.'
        chart = charts.bars(dict(zip(self.names, counts.tolist(), strict=True)), 'objects')
        body = html.figure(chart) if len(self.names) > 1 else ''  # one bar says nothing
        return html.Section(
            f'{self.split}: classes', text, body + html.table(('class', 'objects', 'share', 'median size'), rows)
        )

    def _boxes_per_image(self) -> html.Section:
        per_image = self.stored.per_image
        text = f'From {per_image.min()} to {per_image.max()}, {per_image.mean():.1f} on average.'
        chart = charts.histogram(per_image, 'objects in a picture', whole=True)
        return html.Section(f'{self.split}: objects per picture', text, html.figure(chart))

    def _box_sizes(self) -> html.Section:
        rows = [('as stored', *map(_percent, size_shares(self.stored.boxes)))]
        if len(self.seen.boxes):
            rows.append(
                (f'as the model gets {self.seen.samples} pictures', *map(_percent, size_shares(self.seen.boxes)))
            )
        chart = Figure(figsize=(8, 2.8), layout='constrained')
        axes = chart.subplots()
        every = np.sqrt(np.concatenate([self.stored.boxes, self.seen.boxes]).prod(1))
        edges = np.geomspace(min(max(every.min(), 1), 16), max(every.max(), 128) * 1.1, 48)
        parts = [
            (self.stored.boxes, 'as stored', charts.GREY),
            (self.seen.boxes, 'as the model gets them', charts.BLUE),
        ]
        for boxes, label, colour in parts:
            sides = np.sqrt(boxes.prod(1))
            if len(sides):
                weights = np.full(len(sides), 100 / len(sides))
                axes.hist(
                    sides, edges.tolist(), weights=weights, histtype='step', linewidth=1.8, color=colour, label=label
                )
        for bound, name in ((32, 'small | medium'), (96, 'medium | large')):
            axes.axvline(bound, color=charts.RED, linestyle='--', linewidth=1)
            axes.text(
                bound, 1.02, name, ha='center', fontsize=8, color=charts.RED, transform=axes.get_xaxis_transform()
            )
        axes.set_xscale('log')
        axes.set_xticks([4, 8, 16, 32, 64, 96, 128, 256, 512], ['4', '8', '16', '32', '64', '96', '128', '256', '512'])
        axes.minorticks_off()
        axes.set_xlim(edges[0], edges[-1])
        axes.set(xlabel='square root of width x height, pixels', ylabel='% of objects')
        axes.legend(frameon=False, fontsize=9, loc='upper left')
        charts.plain(axes)
        text = (
            "COCO's bounds: small below 32 x 32 pixels, large from 96 x 96 on. COCO's AP by size goes by the stored "
            'sizes; how hard an object is goes by the size that the model gets, after resizing and augmentation.'
        )
        table = html.table(('boxes', 'small', 'medium', 'large'), rows)
        return html.Section(f'{self.split}: sizes of objects', text, table + html.figure(chart))

    def _anchors(self, anchors: AnchorFacts) -> html.Section:
        chart = Figure(figsize=(5.6, 4.8), layout='constrained')
        axes = chart.subplots()
        boxes = self.seen.boxes[:_MOST_POINTS]
        axes.scatter(boxes[:, 0], boxes[:, 1], s=9, color=charts.GREY, alpha=0.5, edgecolors='none', label='objects')
        shapes = np.concatenate(anchors.shapes)
        axes.scatter(shapes[:, 0], shapes[:, 1], s=42, marker='x', color=charts.RED, label='anchors')
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.set(xlabel='width, pixels', ylabel='height, pixels')
        axes.legend(frameon=False, fontsize=9, loc='upper left')
        charts.plain(axes)
        rows = []
        for level, (own, stride) in enumerate(zip(anchors.shapes, anchors.strides, strict=True)):
            share = float((anchors.level == level).mean())
            sides = ', '.join(f'{width:.0f} x {height:.0f}' for width, height in own)
            rows.append((f'stride {stride}', _percent(share), sides))
        bound = anchors.bound or 0.5
        numbers = html.tiles(
            {
                'mean best overlap': f'{anchors.best.mean():.2f}',
                f'objects with an anchor from {bound:g} on': _percent(float((anchors.best >= bound).mean())),
                'objects below 0.3': _percent(float((anchors.best < 0.3).mean())),
            }
        )
        text = (
            'How well the shape of the best anchor fits an object as the model gets it (IoU of the two shapes, one '
            f'laid on the other). The model takes anchors from {bound:g} on for the object; where none reaches it, the '
            'best one is taken if the assigner allows it. Few objects below 0.3 are fine.'
        )
        table = html.table(('level', 'objects it fits best', 'anchors'), rows)
        return html.Section(f'{self.split}: anchors', text, numbers + html.figure(chart) + table)


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %'


def write_dataset_page(pages: Sequence[DatasetPage], path: Path, subtitle: str) -> None:
    """Write one page about all data sets."""
    html.write_page(path, 'Data sets of a detector', subtitle, [part for page in pages for part in page.sections()])
