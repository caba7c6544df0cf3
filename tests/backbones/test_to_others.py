"""Weights of our Swin in timm's and transformers' models: the same outputs, and the converters lead back."""

import pytest
import timm
import torch
from mmengine.registry import MODELS, DefaultScope
from transformers import SwinBackbone, SwinConfig, SwinForImageClassification, SwinModel

import mmsparseswin
from mmsparseswin.checkpoints import convert
from mmsparseswin.errors import InputError

ARCH = dict(embed_dims=12, depths=(2, 2, 3, 2), num_heads=(1, 2, 3, 6))
SIZES = dict(img_size=128, window_size=4, qkv_bias=True)
HEAD = dict(type='LinearClsHead', num_classes=5, in_channels=96)


def classifier(**options):
    backbone = dict(type='mmsparseswin.Swin', arch=ARCH, out_type='avg_featmap', **{**SIZES, **options})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return shaken(MODELS.build(dict(type='ImageClassifier', backbone=backbone, head=dict(HEAD))))


def shaken(model):
    """Random numbers in every tensor, so that no two can be mixed up."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def swin_config(**options):
    return SwinConfig(
        image_size=128,
        patch_size=4,
        embed_dim=12,
        depths=[2, 2, 3, 2],
        num_heads=[1, 2, 3, 6],
        window_size=4,
        **options,
    )


def timm_swin(**options):
    sizes = dict(img_size=128, window_size=4, embed_dim=12, depths=(2, 2, 3, 2), num_heads=(1, 2, 3, 6))
    return timm.create_model('swin_tiny_patch4_window7_224', **{**sizes, **options}).eval()


@pytest.fixture(scope='module')
def image():
    return torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def assert_equal(ours, theirs):
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-5 * float(ours.abs().max()))


def test_logits_of_timm(image):
    model, peer = classifier(), timm_swin(num_classes=5)
    peer.load_state_dict(mmsparseswin.to_timm(model), strict=True)
    with torch.no_grad():
        assert_equal(model.head((model.backbone(image)[0],)), peer(image))


def test_features_of_timm(image):
    model = shaken(mmsparseswin.Swin(ARCH, out_type='avg_featmap', **{**SIZES, 'qkv_bias': False}))
    peer = timm_swin(num_classes=0, qkv_bias=False)
    peer.load_state_dict(mmsparseswin.to_timm(model), strict=True)
    with torch.no_grad():
        assert_equal(model(image)[0], peer(image))


def test_logits_of_transformers(image):
    model, peer = classifier(), SwinForImageClassification(swin_config(num_labels=5)).eval()
    peer.load_state_dict(mmsparseswin.to_transformers(model), strict=True)
    with torch.no_grad():
        assert_equal(model.head((model.backbone(image)[0],)), peer(image).logits)


def test_features_of_transformers(image):
    model = shaken(mmsparseswin.Swin(ARCH, out_type='raw', **SIZES))
    peer = SwinModel(swin_config()).eval()
    peer.load_state_dict(mmsparseswin.to_transformers(model), strict=True)
    with torch.no_grad():
        assert_equal(model(image)[0], peer(image).last_hidden_state)


def test_maps_of_transformers():
    # Twice the size: SwinBackbone shifts a stage that a single window covers, and SwinModel and ours do not.
    image = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    model = shaken(mmsparseswin.Swin(ARCH, **SIZES))
    peer = SwinBackbone(swin_config(out_features=['stage1', 'stage2', 'stage3', 'stage4'])).eval()
    peer.load_state_dict(mmsparseswin.to_transformers(model), strict=True)
    with torch.no_grad():
        for ours, theirs in zip(model(image), peer(image).feature_maps, strict=True):
            assert_equal(ours, theirs)


def test_index_buffers_are_those_of_transformers():
    name = 'encoder.layers.0.blocks.0.attention.self.relative_position_index'
    ours = mmsparseswin.to_transformers(mmsparseswin.Swin(ARCH, out_type='raw', **SIZES))[name]
    assert torch.equal(ours, SwinModel(swin_config()).state_dict()[name])


@pytest.mark.parametrize('way', ['to_timm', 'to_transformers'])
def test_the_converter_leads_back(way):
    model = classifier()
    back = convert(getattr(mmsparseswin, way)(model))
    assert back.source == way[3:]
    assert back.state_dict.keys() == model.state_dict().keys()
    assert all(torch.equal(back.state_dict[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ('way', 'build', 'words'),
    [
        ('to_timm', lambda: mmsparseswin.SparseSwin('tiny', img_size=64), 'this is a SparseSwin'),
        ('to_timm', lambda: torch.nn.Linear(1, 1), 'this is a Linear'),
        ('to_timm', lambda: mmsparseswin.Swin(ARCH, **SIZES), 'norm after the last stage alone'),
        ('to_timm', lambda: mmsparseswin.Swin(ARCH, out_indices=(1,)), 'all stages'),
        ('to_timm', lambda: mmsparseswin.Swin(ARCH, out_type='raw', output_norm=False), 'output_norm'),
        ('to_timm', lambda: mmsparseswin.Swin(ARCH, out_type='raw', patch_merging='conv'), "patch_merging 'conv'"),
        ('to_transformers', lambda: mmsparseswin.Swin(ARCH, use_abs_pos_embed=True), 'absolute_pos_embed'),
        ('to_transformers', lambda: mmsparseswin.Swin(ARCH, img_size=64), 'windows differ by stage'),
    ],
)
def test_what_the_other_library_has_not_is_refused(way, build, words):
    with pytest.raises(InputError, match=words):
        getattr(mmsparseswin, way)(build())
