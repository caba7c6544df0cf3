"""Compare a file in int8 with eager PyTorch, whose numbers it cannot have: directions of outputs, classes, accuracy."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mmsparseswin.export.comparison import FileDiffersError, Run

# What a file must reach to be written: mean cosine of each map of a backbone, and share of pictures that get the class
# that eager PyTorch gives them. Ranges that fit no picture fall far below.
LOWEST_COSINE, LOWEST_AGREEMENT = 0.95, 0.9


def compare_int8(
    ours: Run, theirs: Run, images: Iterable[np.ndarray], outputs: Sequence[str], labels: np.ndarray | None
) -> dict[str, Any]:
    """Compare all outputs of all images, one by one.

    Args:
        ours: eager PyTorch.
        theirs: the file.
        images: inputs of one image each.
        outputs: names; of a classifier 'scores' alone.
        labels: classes of the images, if they are known.

    Returns:
        What the JSON file says: of each output the mean and the lowest cosine, and the norm of the difference as a part
        of the norm; of a classifier the share of equal classes, and both accuracies in percent.

    Raises:
        FileDiffersError: below the limits above, or not finite.
    """
    cosines: dict[str, list[float]] = {name: [] for name in outputs}
    squares = {name: np.zeros(2) for name in outputs}  # of the difference, and of eager's output
    classes: list[tuple[int, int]] = []
    for image in images:
        wanted, given = ours(image), theirs(image)
        for name, one, other in zip(outputs, wanted, given, strict=True):
            one, other = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
            if one.shape != other.shape or not np.isfinite(other).all():
                raise FileDiffersError(f'{name} of the file in int8 is not finite or of another size')
            cosines[name].append(float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-30)))
            squares[name] += [((one - other) ** 2).sum(), (one**2).sum()]
        classes.append((int(wanted[0].argmax()), int(given[0].argmax())))
    found: dict[str, Any] = {
        'outputs': {
            name: {
                'cosine': float(np.mean(cosines[name])),
                'lowest_cosine': min(cosines[name]),
                'relative': float(np.sqrt(squares[name][0] / squares[name][1])),
            }
            for name in outputs
        }
    }
    if tuple(outputs) == ('scores',):
        ours_, theirs_ = np.array(classes).T
        found['same_class'] = float((ours_ == theirs_).mean())
        if labels is not None:
            found['accuracy'] = {
                'eager': round(100 * float((ours_ == labels).mean()), 2),
                'file': round(100 * float((theirs_ == labels).mean()), 2),
            }
    _refuse_bad(found)
    return found


def _refuse_bad(found: dict[str, Any]) -> None:
    same = found.get('same_class')
    if same is not None:
        if same < LOWEST_AGREEMENT:
            raise FileDiffersError(
                f'in int8 {100 * same:.1f} % of the pictures keep their class, less than {100 * LOWEST_AGREEMENT:.0f} %'
                ': nothing was written; calibrate on more pictures (--calibration), or export in fp32'
            )
        return
    for name, one in found['outputs'].items():
        if one['cosine'] < LOWEST_COSINE:
            raise FileDiffersError(
                f'{name} in int8 has a cosine of {one["cosine"]:.3f} with the model, less than {LOWEST_COSINE}: '
                'nothing was written; calibrate on more pictures (--calibration), or export in fp32'
            )
