"""Extract features of a classifier and draw its attention."""

from pathlib import Path

import mmcv
import numpy as np
import torch
from mmpretrain import FeatureExtractor

from mmsparseswin.analysis.attention_maps import record_attention
from mmsparseswin.analysis.attention_pictures import attention_heat, draw_heat, to_picture
from mmsparseswin.cli.channel_order import read_order
from mmsparseswin.image_files import Job


def features_of(extractor: FeatureExtractor, batch: list[Job], pictures: Path | None) -> np.ndarray:
    """Return features (images of the batch, channels); draw the attention into the folder `pictures`."""
    model = extractor.model
    preprocessor = model.data_preprocessor
    images = [mmcv.imread(str(job.path), channel_order=read_order(extractor.config)) for job in batch]
    (data,) = extractor.preprocess(images, len(images))
    with torch.no_grad():
        inputs = preprocessor(data, False)['inputs']
        if pictures is None:
            return model.extract_feat(inputs, stage='pre_logits').float().cpu().numpy()
        with record_attention(model) as records:
            found = model.extract_feat(inputs, stage='pre_logits')
    heat = attention_heat(model, records)
    mean, std = getattr(preprocessor, 'mean', None), getattr(preprocessor, 'std', None)
    for index, job in enumerate(batch):
        path = pictures / f'{job.name}.png'  # a.jpg and a.png are two pictures
        path.parent.mkdir(parents=True, exist_ok=True)
        image = to_picture(inputs[index], mean, std)
        draw_heat(image, {stage: one[index].cpu() for stage, one in heat.items()}).savefig(path, dpi=100)
    return found.float().cpu().numpy()
