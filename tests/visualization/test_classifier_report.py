"""Test the numbers of a classifier's page against torchmetrics."""

import numpy as np
import pytest
import torch

from mmsparseswin.visualization.classifier_mistakes import calibration


def test_calibration_error_is_that_of_torchmetrics():
    functional = pytest.importorskip('torchmetrics.functional.classification')
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(500, 7, generator=generator).mul(2).softmax(1)
    labels = torch.randint(7, (500,), generator=generator)
    expected = functional.multiclass_calibration_error(scores, labels, num_classes=7, n_bins=10, norm='l1')
    bins, error = calibration(labels.numpy(), scores.numpy())
    assert error == pytest.approx(float(expected), abs=1e-6)
    assert sum(one['count'] for one in bins) == 500
    assert calibration(np.array([1]), np.array([[0.0, 1.0]]))[1] == 0.0
