"""Test that the valid area reaches the backbone, which mmdet only gives the padded batch."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmsparseswin.detection.valid_area import ValidAreaDetDataPreprocessor

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def batch(*sizes):
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]
    samples = [DetDataSample(metainfo=dict(img_shape=size, ori_shape=size)) for size in sizes]
    return dict(inputs=images, data_samples=samples)


def preprocessor(**kwargs):
    return ValidAreaDetDataPreprocessor(mean=MEAN, std=STD, bgr_to_rgb=True, **kwargs)


def test_one_channel_more_marks_the_image():
    data = preprocessor(pad_size_divisor=32)(batch((40, 50), (33, 60)))
    assert data['inputs'].shape == (2, 4, 64, 64)
    for image, (h, w) in zip(data['inputs'], ((40, 50), (33, 60)), strict=True):
        assert image[3].sum() == h * w
        assert image[3, :h, :w].all()


def test_without_data_samples_the_images_themselves_tell():
    data = batch((40, 50), (33, 60))
    out = preprocessor()(dict(inputs=data['inputs']))
    assert out['inputs'][:, 3].sum((1, 2)).tolist() == [2000, 1980]


def test_batch_augmentations_keep_the_area_up_to_date():
    resize = dict(type='BatchSyncRandomResize', random_size_range=(96, 96), interval=1, size_divisor=32)
    init_default_scope('mmdet')
    data = batch((64, 48), (64, 64))
    for sample in data['data_samples']:
        sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(torch.zeros(0, 4)))
    model = preprocessor(batch_augments=[resize])
    model.batch_augments[0]._input_size = (96, 96)
    MessageHub.get_instance('valid_area').update_info('iter', 0)
    out = model(data, training=True)
    assert out['inputs'].shape[-2:] == (96, 96)
    assert out['inputs'][0, 3].sum() == pytest.approx(96 * 72, abs=96)


@pytest.mark.parametrize('token_to_map', ['cross_attention', 'mlp'])
def test_a_detector_sees_an_image_as_if_it_were_alone(token_to_map):
    """Collate by mmdet: one image, padded by two different companions, and alone."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    arch = dict(
        embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
    )
    backbone = MODELS.build(
        dict(type='mmsparseswin.SparseSwin', arch=arch, img_size=64, token_to_map=token_to_map)
    ).eval()
    first = batch((70, 90))
    maps = []
    for companions in ((), ((80, 64),), ((128, 200), (31, 47))):
        data = batch((70, 90), *companions)
        data['inputs'][0] = first['inputs'][0]
        with torch.no_grad():
            maps.append(backbone(preprocessor(pad_size_divisor=32)(data)['inputs']))
    for level, alone in enumerate(maps[0]):
        h, w = -(-70 // backbone.out_strides[level]), -(-90 // backbone.out_strides[level])
        for other in maps[1:]:
            torch.testing.assert_close(other[level][0, :, :h, :w], alone[0, :, :h, :w])
