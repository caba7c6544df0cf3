"""Show that detection/float32.py is needed although these operators take bfloat16."""

import pytest
import torch
from mmdet.models.dense_heads import RPNHead
from mmengine.config import ConfigDict
from torchvision.ops import box_iou

from mmsparseswin.detection.float32 import Float32RPNHead


@pytest.mark.usefixtures('our_operators')
def test_float32_outputs_keep_proposals_in_place_and_in_order():
    """mmdet's head scores and decodes in the type of its outputs, before any operator sees a box."""
    torch.manual_seed(0)
    arguments = dict(
        in_channels=8,
        feat_channels=8,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[8, 16]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        test_cfg=ConfigDict(nms_pre=500, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
    )
    plain, float32 = RPNHead(**arguments), Float32RPNHead(**arguments)
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    float32.load_state_dict(plain.state_dict())
    maps = torch.randn(1, 8, 50, 80), torch.randn(1, 8, 25, 40)

    def propose(head, autocast):
        with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
            (result,) = head.predict_by_feat(*head(maps), batch_img_metas=[dict(img_shape=(400, 640))], rescale=False)
        return result

    expected = propose(plain, autocast=False).bboxes
    found = {}
    for head in (plain, float32):
        result = propose(head, autocast=True)
        nearest = box_iou(expected, result.bboxes.float()).max(1).values.mean().item()
        found[head] = nearest, len(result.scores.unique())
    assert found[float32][0] > found[plain][0] + 0.05
    assert found[float32][1] > 2 * found[plain][1]
