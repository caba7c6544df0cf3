"""One class is all that a new backbone needs: registries, zoo, weights, counts, attention and schedules find it."""

import importlib
from typing import Any

import pytest
import torch
from mmengine.registry import init_default_scope

from mmsparseswin import Swin, create_model, list_models, registry
from mmsparseswin.analysis.attention_maps import return_attention
from mmsparseswin.analysis.flops import count_flops
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.errors import InputError
from mmsparseswin.layers.swin_block import SwinBlock


class StillSwin(SwinFamily):
    """Swin whose windows never shift."""

    arch_zoo = {
        'pico': {'embed_dims': 16, 'depths': (1, 2), 'num_heads': (1, 2)},
        'nano': {'embed_dims': 24, 'depths': (2, 2), 'num_heads': (1, 2)},
    }

    def __init__(self, arch: str | dict = 'pico', **swin: Any) -> None:
        super().__init__(arch, **swin)
        self.build()

    def _make_block(self, i: int, j: int, options: dict[str, Any]) -> SwinBlock:
        return SwinBlock(window=(self._window(i),) * 2, shift=False, **options)


@pytest.fixture(autouse=True)
def registered():
    before = dict(registry._BACKBONES)
    registry.register_backbone(StillSwin)
    yield
    registry._BACKBONES.clear()
    registry._BACKBONES.update(before)
    for one in (registry.MODELS, registry.root.MODELS):
        one.module_dict.pop('StillSwin')


@pytest.mark.parametrize('scope', ['mmdet', 'mmpretrain'])
@pytest.mark.parametrize('name', ['StillSwin', 'mmsparseswin.StillSwin'])
def test_both_libraries_build_it(scope, name):
    models = importlib.import_module(f'{scope}.registry').MODELS
    init_default_scope(scope)
    model = models.build(dict(type=name, arch='nano'))
    assert type(model) is StillSwin
    assert model.out_channels == (24, 48)
    assert model.out_strides == (4, 8)


def test_a_detector_and_a_classifier_stand_on_it():
    import mmdet.registry
    import mmpretrain.registry

    init_default_scope('mmdet')
    backbone = dict(type='mmsparseswin.StillSwin')
    neck = dict(type='FPN', in_channels=[16, 32], out_channels=8, num_outs=2)
    head = dict(
        type='RetinaHead',
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[4, 8]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    )
    detector = mmdet.registry.MODELS.build(dict(type='RetinaNet', backbone=backbone, neck=neck, bbox_head=head))
    assert len(detector.eval()._forward(torch.zeros(1, 3, 37, 53))[0]) == 2
    init_default_scope('mmpretrain')
    head = dict(type='LinearClsHead', num_classes=5, in_channels=32)
    config = dict(type='ImageClassifier', backbone=dict(backbone, out_type='avg_featmap'), head=head)
    assert mmpretrain.registry.MODELS.build(config).eval()(torch.zeros(2, 3, 37, 53)).shape == (2, 5)


def test_the_zoo_lists_it_and_unknown_options_name_the_nearest():
    assert list_models('stillswin-*') == ['stillswin-nano', 'stillswin-pico']
    assert type(create_model('stillswin-nano')) is StillSwin
    with pytest.raises(InputError, match=r"did you mean 'out_type'"):
        StillSwin(out_typ='raw')


def test_weights_load_with_a_report_and_tables_are_resized(tmp_path):
    torch.manual_seed(0)
    shifted = Swin(arch={**StillSwin.arch_zoo['pico'], 'img_size': 64, 'window_size': 4})
    torch.save({'state_dict': shifted.state_dict()}, tmp_path / 'swin.pth')
    model = create_model('stillswin-pico', checkpoint=tmp_path / 'swin.pth')
    assert torch.equal(model.stages[1].blocks[1].mlp.fc1.weight, shifted.stages[1].blocks[1].mlp.fc1.weight)
    table = model.stages[0].blocks[0].attn.relative_position_bias_table
    assert table.shape == (13 * 13, 1)  # from 7 x 7 offsets
    assert table.std() > 0.5 * shifted.stages[0].blocks[0].attn.relative_position_bias_table.std()


def test_products_and_attention_are_found():
    model, image = StillSwin().eval(), torch.rand(1, 3, 56, 56)
    with torch.no_grad():
        report = count_flops(model, image)
        _, attention = return_attention(model, image)
    # A token takes 12 C^2 in a block's linear layers and 2 * 49 * C in its attention; merging is 4C -> 2C.
    tokens, dims = 14 * 14, 16
    stages = tokens * (48 * dims + 12 * dims**2 + 98 * dims)
    stages += tokens // 4 * (8 * dims**2 + 2 * (12 * (2 * dims) ** 2 + 98 * 2 * dims))
    assert report.modules[''].macs == stages
    assert [(one.kind, one.stage, one.block, one.shift) for one in attention] == [
        ('window', 0, 0, 0),
        ('window', 1, 0, 0),
        ('window', 1, 1, 0),
    ]


def test_schedules_may_ask_it():
    model = StillSwin()
    kept = model.no_weight_decay()
    assert 'stages.0.blocks.0.attn.relative_position_bias_table' in kept
    assert 'stages.0.blocks.0.mlp.fc1.weight' not in kept
    assert model.get_layer_depth('backbone.stages.1.blocks.1.mlp.fc1.weight', 'backbone.') == (3, 5)
