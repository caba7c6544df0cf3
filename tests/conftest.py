"""Fixtures that tests of several folders share."""

from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from mmsparseswin.shapes.dataset import draw_dataset

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='session')
def shapes(tmp_path_factory) -> Path:
    """A few small pictures of the embedded data set, for configs/quickstart/cascade_sparseswin_smoke.py."""
    root = tmp_path_factory.mktemp('shapes')
    draw_dataset(root, images=(8, 4), size=64, seed=0)
    return root


@pytest.fixture(autouse=True, scope='session')
def own_cache(tmp_path_factory):
    """Verdicts about annotation files are remembered in the user's cache: not those of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(autouse=True)
def no_scope_of_another_test():
    """mmengine's default scope is global: a test that sets it must not decide what the next one builds."""
    yield
    DefaultScope._instance_dict.clear()
