"""Compare our operators with the results of mmcv's compiled ones."""

from pathlib import Path

import numpy as np
import pytest
from golden_cases import cases

CASES = dict(cases())


@pytest.fixture(scope='module')
def golden():
    with np.load(Path(__file__).with_name('golden') / 'mmcv_golden.npz') as file:
        return dict(file)


@pytest.mark.usefixtures('our_operators')
@pytest.mark.parametrize('name', CASES)
def test_results_are_those_of_the_compiled_operators(name, golden):
    """Indices are the same; numbers and gradients within 1e-5 of the largest (float32 sums in another order)."""
    results = CASES[name]()
    assert results.keys() == {key.partition('/')[2] for key in golden if key.startswith(f'{name}/')}
    for key, result in results.items():
        expected = golden[f'{name}/{key}']
        assert result.shape == expected.shape
        if expected.dtype.kind == 'i':
            np.testing.assert_array_equal(result, expected)
        elif expected.size:
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.nanmax(np.abs(expected)))


def test_every_golden_case_runs(golden):
    assert {key.partition('/')[0] for key in golden} == set(CASES)
