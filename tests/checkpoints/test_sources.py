"""Every source against the library whose names it has, on random weights: strict loading and the same numbers."""

import pytest
import torch
from golden import load_case
from oracles import build, randomise, timm_swin, worst

from mmsparseswin.checkpoints import convert

LIMIT = 1e-4
SMALL = dict(embed_dims=32, depths=(2, 2, 4, 2), num_heads=(1, 2, 4, 8))


def image(height, width, channels=3, seed=1):
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed))


def old_layout(state_dict):
    """timm's names -> Microsoft's: merging at the end of a stage, a flat head, index and mask buffers."""
    old = {}
    for name, tensor in state_dict.items():
        parts = name.replace('head.fc.', 'head.').split('.')
        if 'downsample' in parts:
            parts[1] = str(int(parts[1]) - 1)
        old['.'.join(parts)] = tensor
    old['layers.0.blocks.0.attn.relative_position_index'] = torch.zeros(49, 49, dtype=torch.long)
    old['layers.0.blocks.1.attn_mask'] = torch.zeros(64, 49, 49)
    return old


TIMM_VARIANTS = {
    'window 7': dict(),
    'windows per stage, as S3': dict(window_size=(7, 7, 14, 7)),
    'window 4, patch 2, ratio 2, three stages': dict(
        img_size=32, patch_size=2, window_size=4, mlp_ratio=2.0, depths=(2, 4, 2), num_heads=(1, 2, 4)
    ),
    # 14 on grids of 56, 28, 14 and 7 cells. (Where a grid must be padded timm rolls first, so it is no oracle there.)
    'window larger than the last grid': dict(window_size=14),
    'window 12': dict(img_size=384, window_size=12, depths=(2, 2, 2, 2)),
    'no qkv bias, four channels': dict(qkv_bias=False, in_chans=4),
}


@pytest.mark.parametrize('variant', TIMM_VARIANTS)
def test_timm_logits(variant):
    options = TIMM_VARIANTS[variant]
    theirs = timm_swin(**options)
    x = image(*theirs.patch_embed.img_size, channels=options.get('in_chans', 3))
    converted = convert(theirs.state_dict())
    assert converted.source == 'timm'
    assert converted.model['head']['num_classes'] == 7
    assert converted.dropped == {}
    assert worst(build(converted)(x), theirs(x)) < LIMIT


def test_timm_without_a_head_is_a_bare_backbone():
    theirs = timm_swin(num_classes=0)
    converted = convert(theirs.state_dict())
    assert converted.model['type'] == 'mmsparseswin.Swin'
    x = image(224, 224)
    (features,) = build(converted)(x)
    assert worst(features, theirs.forward_features(x).permute(0, 3, 1, 2)) < LIMIT


def test_microsoft_logits_and_buffers_dropped():
    theirs = timm_swin()
    converted = convert({'model': old_layout(theirs.state_dict()), 'epoch': 3})
    assert converted.source == 'microsoft'
    assert set(converted.dropped) == {
        'layers.0.blocks.0.attn.relative_position_index',
        'layers.0.blocks.1.attn_mask',
    }
    x = image(224, 224)
    assert worst(build(converted)(x), theirs(x)) < LIMIT


def test_old_timm_layout_by_name():
    theirs = timm_swin()
    converted = convert(old_layout(theirs.state_dict()), source='timm')
    assert converted.source == 'timm'
    x = image(224, 224)
    assert worst(build(converted)(x), theirs(x)) < LIMIT


def test_microsoft_detector_keeps_the_norm_of_each_stage():
    state = {f'backbone.{k}': v for k, v in old_layout(timm_swin(num_classes=0).state_dict()).items()}
    last = {k: state.pop(f'backbone.norm.{k}') for k in ('weight', 'bias')}
    for i, width in enumerate((32, 64, 128)):
        state |= {
            f'backbone.norm{i}.weight': torch.ones(width),
            f'backbone.norm{i}.bias': torch.full((width,), float(i)),
        }
    state |= {f'backbone.norm3.{k}': v for k, v in last.items()} | {'neck.fpn_convs.0.conv.weight': torch.ones(2)}
    converted = convert(state)
    assert converted.source == 'microsoft'
    assert converted.model['out_indices'] == (0, 1, 2, 3)
    assert 'neck.fpn_convs.0.conv.weight' in converted.dropped
    assert build(converted).norm2.bias[0] == 2


def test_torchvision_logits():
    from torchvision.models.swin_transformer import SwinTransformer

    theirs = randomise(SwinTransformer([4, 4], 32, [2, 2, 4, 2], [1, 2, 4, 8], [7, 7], num_classes=5))
    converted = convert(theirs.state_dict())
    assert converted.source == 'torchvision'
    assert len(converted.dropped) == 10
    ours = build(converted)
    for size in ((224, 224), (228, 308)):  # torchvision takes any multiple of its patch
        assert worst(ours(image(*size)), theirs(image(*size))) < LIMIT


def test_transformers_logits():
    from transformers import SwinConfig, SwinForImageClassification

    cfg = SwinConfig(embed_dim=32, depths=[2, 2, 4, 2], num_heads=[1, 2, 4, 8], num_labels=5, window_size=7)
    theirs = randomise(SwinForImageClassification(cfg))
    converted = convert(theirs.state_dict())
    assert converted.source == 'transformers'
    assert converted.model['head']['num_classes'] == 5
    x = image(224, 224)
    assert worst(build(converted)(x), theirs(x).logits) < LIMIT


def test_transformers_backbone_maps():
    # SwinBackbone shifts a stage covered by one window, as mmdet does.
    from transformers import SwinBackbone, SwinConfig

    stages = ['stage1', 'stage2', 'stage3', 'stage4']
    cfg = SwinConfig(embed_dim=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], qkv_bias=False, out_features=stages)
    theirs = randomise(SwinBackbone(cfg))
    converted = convert(theirs.state_dict())
    assert converted.model['type'] == 'mmsparseswin.Swin'
    x = image(260, 324)[:1]
    for ours, expected in zip(build(converted)(x), theirs(x).feature_maps, strict=True):
        assert worst(ours, expected) < LIMIT


@pytest.mark.parametrize('size', [(260, 324), (450, 287)])
def test_mmdet_maps_at_odd_sizes(size):
    # mmdet shifts a stage covered by one window, ours does not: every grid here is larger than the window.
    from mmdet.models import SwinTransformer

    theirs = randomise(SwinTransformer(**SMALL))
    converted = convert({f'backbone.{k}': v for k, v in theirs.state_dict().items()} | {'neck.w': torch.ones(1)})
    assert converted.source == 'mmdet'
    assert converted.dropped['neck.w']
    x = image(*size)[:1]
    for ours, expected in zip(build(converted)(x), theirs(x), strict=True):
        assert worst(ours, expected) < LIMIT


def test_mmdet_position_embedding():
    from mmdet.models import SwinTransformer

    theirs = randomise(SwinTransformer(pretrain_img_size=256, use_abs_pos_embed=True, **SMALL))
    converted = convert(theirs.state_dict())
    assert converted.model['img_size'] == 256
    x = image(256, 256)[:1]
    for ours, expected in zip(build(converted)(x), theirs(x), strict=True):
        assert worst(ours, expected) < LIMIT


def test_mmpretrain_logits():
    from mmpretrain.registry import MODELS

    arch = dict(embed_dims=32, depths=[2, 2, 4, 2], num_heads=[1, 2, 4, 8])
    theirs = randomise(
        MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='SwinTransformer', arch=arch, img_size=256, use_abs_pos_embed=True),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=256),
            )
        )
    )
    converted = convert(theirs.state_dict())
    assert converted.source == 'mmpretrain'
    x = image(256, 256)
    assert worst(build(converted)(x), theirs(x)) < LIMIT


@pytest.mark.parametrize(
    ('source', 'make'),
    [
        ('timm', lambda: __import__('timm').create_model('swin_tiny_patch4_window7_224')),
        ('torchvision', lambda: __import__('torchvision').models.swin_t()),
    ],
)
def test_swin_t_as_published(source, make):
    theirs = randomise(make())
    converted = convert(theirs.state_dict())
    assert (converted.source, converted.model['backbone']['arch']) == (source, 'tiny')
    assert sum(t.numel() for t in converted.state_dict.values()) == 28_288_354  # docs/models/swin.md
    x = image(224, 224)[:1]
    assert worst(build(converted)(x), theirs(x)) < LIMIT


@pytest.mark.parametrize('name', ['tiny', 'small', 'base'])
def test_s3_is_recognised(name):
    import timm

    with torch.device('meta'):
        state = timm.create_model(f'swin_s3_{name}_224').state_dict()
    converted = convert(state)
    assert converted.model['backbone']['arch'] == f's3-{name}'
    assert converted.model['backbone']['img_size'] == 224


def test_sparseswin_classifier_golden():
    case = load_case('sparseswin_cls_tiny_224')
    state = case.state_dict
    state['swin_model.1.0.attn.relative_position_index'] = torch.zeros(2401, dtype=torch.long)
    converted = convert(state)
    assert converted.source == 'sparseswin'
    assert converted.model['backbone']['arch'] == 'tiny'
    assert sum(t.numel() for t in converted.state_dict.values()) == case.content['num_params']
    assert any('16 heads' in note for note in converted.notes)
    assert case.difference(build(converted)(case.image), 'logits') < LIMIT


def test_sparseswin_dense_golden():
    case = load_case('sparseswin_dense_tiny_224')
    unused = {
        'swin_model.features.7.0.norm1.weight': torch.ones(768),
        'swin_model.head.bias': torch.ones(1000),
    }
    state = {f'backbone_net.{k}': v for k, v in (case.state_dict | unused).items()}
    converted = convert(state | {'conv3.bias': torch.ones(64)})
    assert converted.source == 'sparseswin_dense'
    assert 'second name' in converted.dropped['backbone_net.swin_model.features.0.0.weight']
    assert 'never used' in converted.dropped['backbone_net.swin_model.head.bias']
    for i, ours in enumerate(build(converted)(case.image)):
        assert case.difference(ours, f'map{i}') < LIMIT


def test_sparseswin_dense_names_that_disagree_are_reported():
    state = load_case('sparseswin_dense_tiny_224').state_dict
    state['swin_model.features.0.0.weight'] = state['block1.0.0.weight'] + 1
    converted = convert(state)
    assert converted.dropped['swin_model.features.0.0.weight'].endswith('other values')
    assert torch.equal(converted.state_dict['patch_embed.proj.weight'], state['block1.0.0.weight'])


@pytest.mark.parametrize(
    ('name', 'given', 'options'),
    [
        ('stvitr_cls_small_224', 393, {'preset': 'cls'}),
        ('stvitr_det_small_224x224', 395, {'preset': 'det', 'masks': 'official'}),
    ],
)
def test_stvitr_golden(name, given, options):
    case = load_case(name)
    state = case.state_dict
    # Further entries of real files (docs/models/stvit_r.md, 'Weights').
    for table in [n for n in state if n.endswith('.relative_position_bias_table')]:
        state[table.replace('bias_table', 'index')] = torch.zeros(49, 49, dtype=torch.long)
    state |= {f'patch_embed.proj.{i}.bn.num_batches_tracked': torch.tensor(7) for i in (0, 2)}
    if 'head.weight' in state:
        state |= {f'layers.{i}.blocks.1.attn_mask': torch.zeros(1) for i in (0, 1)}
    assert len(state) == given
    converted = convert(state)
    assert converted.source == name.partition('_small')[0]
    assert (
        sum(t.numel() for n, t in converted.state_dict.items() if 'bn' not in n or n.endswith(('weight', 'bias')))
        == case.content['num_params']
    )
    backbone = converted.model.get('backbone', converted.model)
    assert (backbone['type'], backbone['arch']) == ('mmsparseswin.STViTR', 'small')
    assert backbone.items() >= options.items()
    assert all('buffer' in reason or 'rebuilt' in reason for reason in converted.dropped.values())
    outs = build(converted)(case.image)
    for ours, output in zip([outs] if 'head' in converted.model else outs, case.content['outputs'], strict=True):
        assert case.difference(ours, output) < LIMIT


def test_stvitr_that_is_incomplete_is_named():
    state = load_case('stvitr_cls_small_224').state_dict
    del state['layers.2.blocks.8.attn.kv.weight']
    with pytest.raises(ValueError, match=r'stages\.2\.blocks\.8\.attn\.kv\.weight'):
        convert(state)
