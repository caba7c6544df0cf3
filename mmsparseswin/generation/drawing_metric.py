"""What a judge says about drawn pictures."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.generation.distances import frechet_distance, recall
from mmsparseswin.generation.judge import Judge
from mmsparseswin.registry import METRICS


@METRICS.register_module()
class DrawingMetric(BaseMetric):
    """Accuracy, Frechet distance, its floor, and recall of drawn pictures (docs/generation.md, 'Measures').

    Args:
        judge: options of :class:`Judge`.
        **options: of mmengine's metrics.

    Raises:
        InputError: the judge is not there, at the start of a run that evaluates.
    """

    default_prefix = 'drawn'

    def __init__(self, judge: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self._options = judge

    @property
    def dataset_meta(self) -> dict | None:
        """The data set's metainfo; a loop sets it when a run begins, before any work, so the judge is loaded then."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        self._dataset_meta = meta
        self.judge  # noqa: B018

    @cached_property
    def judge(self) -> Judge:
        """The judge."""
        return Judge(**self._options)

    @cached_property
    def _real(self) -> tuple[Tensor, Tensor]:
        """Features of the training and of the test pictures."""
        return self.judge.look_at_data('train')[0], self.judge.look_at_data('test')[0]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep pictures and labels."""
        self.results += [(sample['picture'].cpu(), int(sample['gt_label'])) for sample in data_samples]

    def compute_metrics(self, results: list[tuple[Tensor, int]]) -> dict[str, float]:
        """Ask the judge.

        Raises:
            InputError: too few pictures for a covariance.
        """
        features, labels = self.judge.look(as_array(picture) for picture, _ in results)
        count, channels = features.shape
        if count <= channels:
            raise InputError(
                f'{count} pictures drawn, and a distance in {channels} features needs more than {channels}; raise the '
                'count of mmsparseswin.DrawRequests'
            )
        wanted = torch.tensor([label for _, label in results])
        train, test = self._real
        distance, floor = (frechet_distance(each, test) for each in (features, train[:count]))
        return {
            'accuracy': float((labels == wanted).float().mean()),
            'distance': distance,
            'floor': floor,
            'distance_over_floor': distance / floor,
            'recall': recall(test, features),
        }


def as_array(picture: Tensor) -> np.ndarray:
    """(C, H, W) -> (H, W) if grey, else (H, W, C)."""
    return picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).contiguous().numpy()
