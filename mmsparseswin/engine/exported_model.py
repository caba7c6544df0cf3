"""Exported file in the place of a model, for mmengine's test loop."""

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from mmsparseswin.registry import MODELS
from mmsparseswin.runtime import Detector, load


@MODELS.register_module()
class ExportedModel(BaseModel):
    """File of ``mmsparseswin export`` that predicts the data samples of mmdet or mmpretrain, on the CPU.

    The config's own pipeline resizes the pictures; the file, or what its JSON says, does the rest.

    Args:
        path: the file, ``.onnx`` or ``.xml``.
        order: of the channels that the pipeline gives, 'bgr' or 'rgb'.
    """

    def __init__(self, path: str, order: str = 'bgr') -> None:
        super().__init__()
        self.file, self.order = load(path, torch.get_num_threads()), order

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'predict') -> list[Any]:
        """Return the data samples with what was predicted.

        Args:
            inputs: pictures (3, h, w) of uint8, resized.
            data_samples: one for each.
            mode: 'predict'.
        """
        pictures = [_picture(one, self.order) for one in inputs]
        if isinstance(self.file, Detector):
            from mmdet.models.utils.misc import samplelist_boxtype2tensor  # only detectors need mmdet

            samplelist_boxtype2tensor(data_samples)  # of the truth, as mmdet's preprocessor does
            for picture, sample in zip(pictures, data_samples, strict=True):
                found = self.file.detect(
                    picture, tuple(sample.ori_shape), name=str(sample.get('img_path', 'a picture'))
                )
                objects = InstanceData(bboxes=torch.from_numpy(found.boxes))
                objects.scores, objects.labels = torch.from_numpy(found.scores), torch.from_numpy(found.labels)
                if found.masks is not None:
                    objects.masks = torch.from_numpy(found.masks)
                sample.pred_instances = objects
            return list(data_samples)
        size = len(pictures) if self.file.info['input']['shape'][0] == 'batch' else 1
        for start in range(0, len(pictures), size):
            results = self.file.run(np.stack(pictures[start : start + size]))
            for sample, result in zip(data_samples[start : start + size], results, strict=True):
                sample.set_pred_score(torch.from_numpy(result.scores)).set_pred_label(result.label)
        return list(data_samples)

    def test_step(self, data: dict) -> list[Any]:
        """Predict a batch of the data loader."""
        return self(data['inputs'], data['data_samples'])


def _picture(image: Tensor, order: str) -> np.ndarray:
    picture = image.permute(1, 2, 0).cpu().numpy()
    return picture if order == 'bgr' else picture[..., ::-1]
