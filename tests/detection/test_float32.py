import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmengine.config import ConfigDict

from mmsparseswin.detection.float32 import Float32RoIExtractor, Float32RPNHead
from mmsparseswin.layers.fast_path import fast_path

LAYER = dict(type='RoIAlign', output_size=7, sampling_ratio=0)


def test_boxes_keep_their_place_under_bfloat16():
    """mmdet's extractor rounds boxes to the features' type, which moves them by pixels."""
    torch.manual_seed(0)
    arguments = dict(roi_layer=LAYER, out_channels=4, featmap_strides=[4])
    features = torch.randn(1, 4, 200, 336)
    rois = torch.tensor([[0, 1001.3, 601.7, 1107.9, 655.2], [0, 513.1, 257.4, 1301.9, 707.6]])
    expected = SingleRoIExtractor(**arguments)((features,), rois)
    ours = Float32RoIExtractor(**arguments)((features.bfloat16(),), rois)
    assert ours.dtype == torch.float32
    assert (ours - expected).abs().max() < 0.01 * features.abs().max()
    rounded = SingleRoIExtractor(**arguments)((features.bfloat16().float(),), rois.bfloat16().float())
    assert (rounded - expected).abs().max() > 0.1 * features.abs().max()


def test_rpn_proposes_under_bfloat16():
    head = Float32RPNHead(
        in_channels=8,
        feat_channels=8,
        anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[8]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        test_cfg=ConfigDict(nms_pre=100, max_per_img=10, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores, deltas = head((torch.randn(1, 8, 6, 9),))
        assert scores[0].dtype == deltas[0].dtype == torch.float32
        (proposals,) = head.predict_by_feat(scores, deltas, batch_img_metas=[dict(img_shape=(48, 72))], rescale=False)
    assert 0 < len(proposals) <= 10
    assert proposals.scores.max() == pytest.approx(scores[0].sigmoid().max().item())


@pytest.mark.parametrize('roi_scale_factor', [None, 1.5])
def test_extractor_pools_each_level_as_mmdet_does(roi_scale_factor):
    torch.manual_seed(0)
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0, use_torchvision=True)
    arguments = dict(roi_layer=layer, out_channels=4, featmap_strides=[4, 8, 16, 32])
    features = [torch.randn(2, 4, 200 // s, 320 // s) for s in arguments['featmap_strides']]
    centre = torch.rand(50, 2) * torch.tensor([320.0, 200.0])
    half = torch.rand(50, 1).pow(3) * 300 + 2
    rois = torch.cat((torch.arange(50)[:, None] % 2, centre - half, centre + half), 1)
    grads, outs = [], []
    for extractor in (Float32RoIExtractor(**arguments), SingleRoIExtractor(**arguments)):
        inputs = tuple(f.clone().requires_grad_() for f in features)
        outs.append(extractor(inputs, rois, roi_scale_factor))
        outs[-1].square().sum().backward()
        grads.append([f.grad for f in inputs])
    torch.testing.assert_close(outs[0], outs[1], rtol=0, atol=1e-4)
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
    with fast_path(False), torch.no_grad():
        assert torch.equal(Float32RoIExtractor(**arguments)(tuple(features), rois, roi_scale_factor), outs[1])


def test_levels_without_boxes_get_the_gradient_0():
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0)
    extractor = Float32RoIExtractor(roi_layer=layer, out_channels=4, featmap_strides=[4, 8])
    features = tuple(torch.randn(1, 4, 40 // s, 40 // s).requires_grad_() for s in (1, 2))
    extractor(features, torch.tensor([[0.0, 1.0, 1.0, 9.0, 9.0]])).sum().backward()
    assert features[1].grad is not None
    assert not features[1].grad.any()
