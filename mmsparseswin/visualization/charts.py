"""Charts that several reports share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, RED, GREY = '#3b6fb6', '#d1495b', '#a1a1aa'
_MOST_BARS = 40
_MOST_NAMES, _MOST_NUMBERS = 40, 20


def bars(values: Mapping[str, float], label: str, width: float = 8.0) -> Figure:
    """Draw a horizontal bar for each value, the largest on top, with its number; only the first 40."""
    chosen = sorted(values.items(), key=lambda item: -item[1])[:_MOST_BARS][::-1]
    chart = Figure(figsize=(width, 0.7 + 0.29 * len(chosen)), layout='constrained')
    axes = chart.subplots()
    drawn = axes.barh([name for name, _ in chosen], [value for _, value in chosen], color=BLUE, height=0.7)
    axes.bar_label(
        drawn, [f'{value:,.3g}' if value < 1 else f'{value:,.0f}' for _, value in chosen], padding=4, fontsize=9
    )
    axes.margins(x=0.12, y=0.02)
    axes.set_xlabel(label)
    plain(axes)
    return chart


def histogram(values: np.ndarray, label: str, whole: bool = False) -> Figure:
    """Draw a histogram; `whole` gives every whole number a bin of its own as long as there are not too many."""
    chart = Figure(figsize=(8, 2.8), layout='constrained')
    axes = chart.subplots()
    if whole and len(values) and values.max() - values.min() < 80:
        edges = np.arange(values.min(), values.max() + 2) - 0.5
    else:
        edges = np.histogram_bin_edges(values, bins=40)
    axes.hist(values, bins=edges.tolist(), color=BLUE, rwidth=0.9)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=label, ylabel='images')
    plain(axes)
    return chart


def reliability(bins: Sequence[Mapping[str, float]], what: str) -> Figure:
    """Draw how often predictions of each score are right; `bins` have bin_lower, bin_upper, avg_accuracy, count."""
    chart = Figure(figsize=(5.6, 4.6), layout='constrained')
    top, below = chart.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    filled = [one for one in bins if one['count']]
    centres = [(one['bin_lower'] + one['bin_upper']) / 2 for one in filled]
    wide = 0.92 * (bins[0]['bin_upper'] - bins[0]['bin_lower'])
    top.plot([0, 1], [0, 1], '--', color=GREY, label='score = share that is right')
    top.bar(centres, [one['avg_accuracy'] for one in filled], wide, color=BLUE, label=what)
    top.set(ylabel='share that is right', ylim=(0, 1), xlim=(0, 1))
    top.legend(frameon=False, loc='upper left', fontsize=9)
    below.bar(centres, [one['count'] for one in filled], wide, color=GREY)
    below.set(xlabel='score', ylabel='number')
    plain(top)
    plain(below)
    return chart


def confusion(matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """Draw counts as shares of each row (truth); names up to 40 classes, numbers up to 20."""
    total = matrix.sum(1, keepdims=True)
    shares = matrix / np.maximum(total, 1)
    size = min(3.0 + 0.42 * len(rows), 12)
    chart = Figure(figsize=(size + 1.2, size), layout='constrained')
    axes = chart.subplots()
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    chart.colorbar(image, ax=axes, label='share of the true class', fraction=0.046)
    axes.set(xlabel='prediction', ylabel='truth')
    if len(rows) <= _MOST_NAMES:
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
    if len(rows) <= _MOST_NUMBERS:
        for row, column in np.argwhere(matrix):
            ink = 'white' if shares[row, column] > 0.55 else 'black'
            axes.text(column, row, f'{int(matrix[row, column])}', ha='center', va='center', color=ink, fontsize=8)
    return chart


def plain(axes: Any) -> None:
    """Take the frame's upper and right line away."""
    axes.spines[['top', 'right']].set_visible(False)
