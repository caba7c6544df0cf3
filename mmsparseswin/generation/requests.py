"""Data set of what to draw: a class and the noise to start from."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.structures import DataSample

from mmsparseswin.generation.model import noise_seed, starting_noise
from mmsparseswin.registry import DATASETS


@DATASETS.register_module()
class DrawRequests(BaseDataset):
    """Requests to draw ``count`` pictures, the classes in turns.

    The noise of a picture depends on ``seed``, its class and its number alone: batches and processes do not change it.

    Args:
        count: pictures.
        size: (channels, height, width) of the noise.
        num_classes: labels to draw in turns.
        seed: of the noise.
    """

    def __init__(self, count: int, size: Sequence[int], num_classes: int = 10, seed: int = 0) -> None:
        self.count, self.size, self.num_classes, self.seed = count, tuple(size), num_classes, seed
        super().__init__(serialize_data=False, test_mode=True)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return label and seed of each picture."""
        turns = [divmod(index, self.num_classes) for index in range(self.count)]
        return [dict(gt_label=label, seed=noise_seed(self.seed, label, number)) for number, label in turns]

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """Return 'inputs' (noise) and 'data_samples' with ``gt_label`` and ``seed``."""
        info = self.get_data_info(idx)
        sample = DataSample(metainfo=dict(seed=info['seed'])).set_gt_label(info['gt_label'])
        return dict(inputs=starting_noise(self.size, info['seed']), data_samples=sample)
