"""Test seeded faults of annotation files: refused in one line, equal objects and scores, or reported."""

from collections import Counter

import pytest
from coco_fuzzer import FAULTS, run


@pytest.mark.parametrize('count', [300, pytest.param(12_000, marks=pytest.mark.slow)])
def test_no_fault_goes_unsaid(tmp_path, count):
    outcomes = run(range(count), tmp_path)
    kinds = Counter(outcome.kind for outcome in outcomes.values())
    assert {seed: outcome for seed, outcome in outcomes.items() if outcome.kind in FAULTS} == {}
    assert kinds['refused'] > count / 3
    assert kinds['same'] > count / 20
    assert kinds['said'] > count / 50
    assert kinds['another'] < count / 50
