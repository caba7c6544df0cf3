"""Test that mmdet's own configs train and predict on this project's operators."""

import math

import pytest
from mmdet_families import FAMILIES, try_family

MISSING = {'DCN v1 pooling': 'deform_roi_pool_forward'}
# Untrained, these predict nothing that their own filters let pass (the same with compiled operators).
EMPTY = ('CornerNet', 'CentripetalNet', 'DetectoRS', 'RTMDet', 'SOLO')
QUICK = ('Mask R-CNN', 'DyHead')

pytestmark = pytest.mark.usefixtures('our_operators')


def _check(family):
    if family == 'PAA':
        pytest.importorskip('sklearn', reason='mmdet needs it for PAA')
    outcome = try_family(family)
    if family in MISSING:
        assert MISSING[family] in outcome.missing
        return
    assert not outcome.missing
    assert math.isfinite(outcome.loss)
    assert outcome.instances > 0 or family in EMPTY


@pytest.mark.slow
@pytest.mark.parametrize('family', FAMILIES)
def test_family_trains_and_predicts(family):
    _check(family)


@pytest.mark.parametrize('family', QUICK)
def test_family_with_masks_or_with_odd_offsets_trains_and_predicts(family):
    _check(family)
