"""Pass the valid area of each image of a padded batch to the backbone."""

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import Tensor

from mmsparseswin.registry import MODELS


@MODELS.register_module()
class ValidAreaDetDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor with a further channel: 1 on the image, 0 on the padding of the batch.

    mmdet hands a backbone nothing but the padded tensor, so the valid area travels in it; our backbones take the
    channel off again and compute each image as they would alone. With a backbone that does not know the channel, use
    mmdet's own ``DetDataPreprocessor``. Arguments are those of mmdet's.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate as mmdet does; ``inputs`` becomes (B, C + 1, H, W)."""
        shapes = [tuple(image.shape[-2:]) for image in data['inputs']]
        data = super().forward(data, training)
        inputs: Tensor = data['inputs']
        if data.get('data_samples') is not None:
            # Batch augmentations may have resized the images since; they keep this up to date.
            shapes = [tuple(sample.img_shape[:2]) for sample in data['data_samples']]
        valid = torch.zeros_like(inputs[:, :1])
        for image, (height, width) in zip(valid, shapes, strict=True):
            image[..., :height, :width] = 1
        data['inputs'] = torch.cat((inputs, valid), 1)
        return data
