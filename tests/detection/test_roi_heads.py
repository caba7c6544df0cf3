"""Test that RoI heads of ours hold mmdet's parameters and give its numbers."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmsparseswin.detection import roi_heads
from mmsparseswin.layers.fast_path import FastLinear


@pytest.mark.parametrize(
    ('config', 'theirs'),
    [
        ('quickstart/cascade_sparseswin_shapes.py', 'mmdet.CascadeRoIHead'),
        ('stvit_r/mask-rcnn_stvit-r-t_fpn_1x_coco.py', 'mmdet.StandardRoIHead'),
    ],
)
def test_box_heads_run_fast_linear_layers_and_give_mmdets_numbers(config, theirs):
    model = Config.fromfile(f'configs/{config}').model
    setting = copy.deepcopy(model.roi_head)
    setting.update(train_cfg=None, test_cfg=model.test_cfg.rcnn)
    assert setting.type == f'mmsparseswin.{theirs.split(".")[1]}'
    ours = MODELS.build(setting)
    assert isinstance(ours, getattr(roi_heads, theirs.split('.')[1]))
    expected = MODELS.build({**setting, 'type': theirs})
    expected.load_state_dict(ours.state_dict())
    channels, pixels = model.neck.out_channels, setting.bbox_roi_extractor.roi_layer.get('output_size', 7)
    heads = [(h.bbox_head if isinstance(h.bbox_head, torch.nn.ModuleList) else [h.bbox_head]) for h in (ours, expected)]
    for mine, other in zip(*heads, strict=True):
        assert all(type(m) is FastLinear for m in mine.modules() if isinstance(m, torch.nn.Linear))
        results = []
        for head in (mine, other):
            x = torch.manual_seed(0) and torch.randn(6, channels, pixels, pixels).requires_grad_()
            scores, deltas = head(x)
            (scores.sum() + deltas.square().sum()).backward()
            results.append((scores, deltas, x.grad, *(p.grad for p in head.parameters())))
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
