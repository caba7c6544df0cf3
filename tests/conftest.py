"""What tests of several folders share."""

from pathlib import Path

import pytest

from mmsparseswin.detection.shapes import draw_dataset

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A few small pictures of the embedded data set, for configs/quickstart/cascade_sparseswin_smoke.py."""
    root = tmp_path_factory.mktemp('shapes')
    draw_dataset(root, images=(8, 4), size=64, seed=0)
    return root
