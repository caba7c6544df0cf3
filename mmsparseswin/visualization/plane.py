"""Features laid out in the plane by scikit-learn's t-SNE."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmsparseswin.errors import InputError
from mmsparseswin.visualization.marks import class_colour


def read_features(path: str) -> tuple[np.ndarray, list[str]]:
    """Return features (N, C) and the names of the images of a file of extract-features.

    Raises:
        InputError: another file, or fewer than three images.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            features, files = content['features'], content['files'].tolist()
    except (KeyError, ValueError, AttributeError) as error:
        raise InputError(f'{path} is no features.npz of extract-features ({error})') from None
    if len(features) < 3:
        raise InputError(f'{path} has {len(features)} images; a plane needs at least 3')
    return features, files


def lay_out(features: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Return places (N, 2) by t-SNE (van der Maaten and Hinton, 2008); perplexity is below N.

    Raises:
        InputError: a perplexity of 0 or less, or no scikit-learn.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise InputError(
            "this needs scikit-learn: pip install 'mmsparseswin[cam]', or pip install scikit-learn"
        ) from None
    if not perplexity > 0:
        raise InputError(f'--perplexity {perplexity}: must be above 0')
    bound = min(perplexity, (len(features) - 1) / 3)
    return TSNE(perplexity=bound, random_state=seed, init='pca', learning_rate='auto').fit_transform(features)


def draw_plane(places: np.ndarray, groups: Sequence[str]) -> Figure:
    """Draw a dot per image in the colour of its group; up to 20 groups are named."""
    names = sorted(set(groups))
    chart = Figure(figsize=(8, 7), layout='constrained')
    axes = chart.subplots()
    for label, name in enumerate(names):
        chosen = places[[group == name for group in groups]]
        colour = [part / 255 for part in class_colour(label)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=22, color=colour, edgecolors='black', linewidths=0.3, label=name)
    axes.set(xticks=[], yticks=[])
    if 1 < len(names) <= 20:
        chart.legend(loc='outside right upper', frameon=False)
    return chart
