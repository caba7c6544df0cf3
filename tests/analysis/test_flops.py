"""Compare counts with closed forms, with published numbers and with mmengine's jit-traced counter."""

import json
import runpy
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.analysis import ActivationAnalyzer, FlopAnalyzer
from mmengine.registry import DefaultScope
from torch import nn

from mmsparseswin import SparseSwin, Swin
from mmsparseswin.analysis.flops import count_flops
from mmsparseswin.errors import InputError

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/get_flops.py'
DETECTOR = """
_base_ = {base!r}
model = dict(
    backbone=dict(_delete_=True, type='mmsparseswin.SparseSwin', img_size=64, out_indices=(0, 1, 2, 3),
                  arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4), num_tokens=5, token_dims=32,
                            token_heads=4, window_size=3)),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=24),
    rpn_head=dict(in_channels=24, feat_channels=24),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=24), mask_roi_extractor=dict(out_channels=24),
        bbox_head=[dict(type='Shared2FCBBoxHead', in_channels=24, fc_out_channels=16, roi_feat_size=7, num_classes=3,
                        bbox_coder=dict(type='DeltaXYWHBBoxCoder'), reg_class_agnostic=True,
                        loss_cls=dict(type='CrossEntropyLoss'))] * 3,
        mask_head=dict(in_channels=24, conv_out_channels=8, num_classes=3)),
    test_cfg=dict(rpn=dict(max_per_img=40), rcnn=dict(max_per_img=6)))
"""


class Classifier(nn.Module):
    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone, self.fc = backbone, nn.Linear(backbone.out_channels[-1], classes)

    def forward(self, x):
        return self.fc(self.backbone(x)[0])


def classifier(build, classes, device='meta', **options):
    with torch.device(device):
        return Classifier(build(out_type='avg_featmap', **options), classes).eval()


def count(model, *size, device='meta'):
    return count_flops(model, torch.zeros(1, 3, *size, device=device))


def swin_macs(dims, depths, windows, size, patch=4, ratio=4):
    """Count stages 0, 1, ... of a Swin with its patch embedding; padded windows at their full size."""
    rows, cols = -(-size[0] // patch), -(-size[1] // patch)
    total = 3 * patch * patch * dims * rows * cols
    for stage, (depth, window) in enumerate(zip(depths, windows, strict=True)):
        if stage:
            rows, cols, dims = -(-rows // 2), -(-cols // 2), 2 * dims
            total += rows * cols * (2 * dims) * dims
        slots = -(-rows // window) * window * -(-cols // window) * window
        attention = 4 * dims**2 * slots + 2 * slots * window**2 * dims
        total += depth * (attention + 2 * ratio * dims**2 * rows * cols)
    return total


@pytest.mark.parametrize('device', ['meta', 'cpu'])
def test_swinvit_as_its_authors_counted_it_with_fvcore(device):
    total = count(classifier(Swin, 10, device, arch='cifar'), 32, 32, device=device).total
    assert (total.params, total.fvcore_flops, total.activations) == (7_048_612, 242_759_424, 1_296_394)
    assert (total.macs, total.flops) == (240_946_944, 481_893_888)


# docs/models/swin.md, 'Published variants': arch, image, E, depths, windows, parameters, GMAC.
ZOO = [
    ('tiny', 224, 96, (2, 2, 6, 2), (7, 7, 7, 7), 28_288_354, 4.49),
    ('small', 224, 96, (2, 2, 18, 2), (7, 7, 7, 7), 49_606_258, 8.74),
    ('base', 224, 128, (2, 2, 18, 2), (7, 7, 7, 7), 87_768_224, 15.43),
    ('base', 384, 128, (2, 2, 18, 2), (12, 12, 12, 12), 87_903_584, 47.08),
    ('large', 224, 192, (2, 2, 18, 2), (7, 7, 7, 7), 196_532_476, 34.48),
    ('large', 384, 192, (2, 2, 18, 2), (12, 12, 12, 12), 196_735_516, 103.92),
    ('s3-tiny', 224, 96, (2, 2, 6, 2), (7, 7, 14, 7), 28_328_674, 4.62),
    ('s3-small', 224, 96, (2, 2, 18, 2), (14, 14, 14, 7), 49_737_298, 9.40),
    ('s3-base', 224, 96, (2, 2, 30, 2), (7, 7, 14, 7), 71_125_762, 13.66),
]


@pytest.mark.parametrize(('arch', 'size', 'dims', 'depths', 'windows', 'params', 'gmacs'), ZOO)
def test_the_swin_zoo(arch, size, dims, depths, windows, params, gmacs):
    options = dict(window_size=12) if size == 384 else {}
    total = count(classifier(Swin, 1000, arch=arch, img_size=size, **options), size, size).total
    assert total.params == params
    assert total.macs == swin_macs(dims, depths, windows, (size, size)) + 8 * dims * 1000
    assert total.macs / 1e9 == pytest.approx(gmacs, abs=0.005)


@pytest.mark.parametrize('size', [(225, 131), (97, 320)])
def test_padding_is_counted_as_computed(size):
    with torch.device('meta'):
        model = Swin('tiny', out_type='raw').eval()
    assert count(model, *size).total.macs == swin_macs(96, (2, 2, 6, 2), (7, 7, 7, 7), size)


@pytest.mark.parametrize(
    ('arch', 'tokens', 'dims', 'params', 'gmacs'),
    [
        ('tiny', 49, 512, 20_287_971, (4.396, 13.16)),
        ('small', 64, 768, 29_073_006, (5.179, 14.29)),
        ('base', 81, 1024, 41_004_163, (6.506, 15.97)),
    ],
)
def test_sparseswin(arch, tokens, dims, params, gmacs):
    for size, published in zip((224, 384), gmacs, strict=True):
        report = count(classifier(SparseSwin, 100, arch=arch, img_size=size), size, size)
        cells = (size // 16) ** 2
        blocks = 2 * (12 * dims**2 * tokens + 2 * tokens**2 * dims)
        sparta = 9 * 384 * dims * cells + tokens * cells * dims + blocks
        assert report.modules['backbone.stages.3'].macs == sparta
        assert report.total.macs == swin_macs(96, (2, 2, 6), (7, 7, 7), (size, size)) + sparta + 100 * dims
        assert report.total.macs / 1e9 == pytest.approx(published, abs=0.005 if size == 384 else 0.0005)
        assert size == 384 or report.total.params == params


def test_every_module_holds_what_is_below_it():
    report = count(classifier(Swin, 10, arch='tiny'), 224, 224)
    stages = [report.modules[f'backbone.stages.{i}'] for i in range(4)]
    whole, patches = report.modules['backbone'], report.modules['backbone.patch_embed']
    for name in ('macs', 'activations', 'params'):
        parts = sum(getattr(cost, name) for cost in (*stages, patches, report.modules['backbone.norm3']))
        assert getattr(whole, name) == parts
    assert report.total.macs == whole.macs + 7680
    assert list(report.tree(1)) == ['', 'backbone', 'fc']
    assert [path for path in report.tree(2) if 'stages' in path] == [f'backbone.stages.{i}' for i in range(4)]


def test_what_is_not_counted_is_named_and_gathers_cost_nothing():
    report = count(classifier(Swin, 10, 'cpu', arch='cifar'), 32, 32, device='cpu')
    assert report.uncounted['native_layer_norm'] == 28
    assert report.uncounted['gelu'] == 12
    assert report.uncounted['add'] > 0
    # Two permutations and one bias table for each of 12 blocks.
    assert report.moved['index_select'] == 36
    assert not {*report.counted} & {*report.uncounted, *report.moved}


@pytest.mark.parametrize('device', ['meta', 'cpu'])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('lead', [(3, 4), (12,)])
def test_attention_is_counted_once_on_every_path(device, masked, lead):
    q, k, v = (torch.zeros(*lead, n, 16, device=device) for n in (5, 7, 7))
    bias = torch.zeros(5, 7, device=device) if masked else None
    report = count_flops(Call(F.scaled_dot_product_attention), q, k, v, bias)
    assert report.total.macs == 12 * (5 * 7 * 16 * 2)
    assert report.total.activations == 12 * (5 * 7 + 5 * 16)


class Call(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def test_the_fast_path_of_multihead_attention_is_opened():
    x = torch.zeros(2, 6, 8)
    report = count_flops(nn.MultiheadAttention(8, 2, batch_first=True).eval(), x, x, x, need_weights=False)
    assert report.total.macs == 2 * (6 * 4 * 8 * 8 + 2 * 6 * 6 * 8)
    assert torch.backends.mha.get_fastpath_enabled()


SHAPES_OF_PRODUCTS = {
    'linear': (F.linear, [(2, 3, 5), (7, 5), (7,)], 2 * 3 * 5 * 7),
    'vector': (torch.mv, [(3, 5), (5,)], 15),
    'dot': (torch.dot, [(5,), (5,)], 5),
    'addmv': (torch.addmv, [(3,), (3, 5), (5,)], 15),
    'baddbmm': (torch.baddbmm, [(2, 3, 7), (2, 3, 5), (2, 5, 7)], 210),
    'addbmm': (torch.addbmm, [(3, 7), (2, 3, 5), (2, 5, 7)], 210),
    'addmm_': (lambda x, a, b: x.addmm_(a, b), [(3, 7), (3, 5), (5, 7)], 105),
    'einsum': (lambda a, b: torch.einsum('bhqd,bhkd->bhqk', a, b), [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 5 * 6),
    'grouped': (lambda x, w: F.conv2d(x, w, groups=2), [(1, 4, 5, 7), (6, 2, 3, 3)], 6 * 3 * 5 * 2 * 9),
    'transposed': (lambda x, w: F.conv_transpose2d(x, w, stride=2), [(1, 4, 5, 7), (4, 6, 2, 2)], 4 * 6 * 5 * 7 * 4),
}


@pytest.mark.parametrize('inference', [False, True])
@pytest.mark.parametrize('name', SHAPES_OF_PRODUCTS)
def test_products(name, inference):
    function, shapes, macs = SHAPES_OF_PRODUCTS[name]
    inputs = [torch.zeros(shape) for shape in shapes]
    with torch.inference_mode(inference):
        total = count_flops(Call(function), *inputs).total
        assert (total.macs, total.activations) == (macs, function(*inputs).numel())


def test_shared_modules_are_counted_in_each_call_with_parameters_once():
    layer = nn.Linear(4, 4)
    total = count_flops(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 4)).total
    assert (total.params, total.macs) == (20, 32)


def test_an_error_in_the_model_leaves_no_hook_behind():
    with pytest.raises(RuntimeError):
        count_flops(nn.Linear(4, 4), torch.zeros(1, 5))
    report = count_flops(nn.Linear(4, 4), torch.zeros(1, 4))
    nn.Linear(4, 4)(torch.zeros(1, 4))
    assert report.total.macs == 16


def test_mmengines_traced_counter_agrees():
    from mmpretrain.models import ResNet, SwinTransformer

    swin = SwinTransformer(dict(embed_dims=12, depths=[2, 2, 1, 1], num_heads=[1, 2, 3, 4]), window_size=2)
    for model in (ResNet(18, base_channels=8, stem_channels=8), swin):
        x = torch.zeros(1, 3, 75, 53)
        model.eval()
        total = count_flops(model, x).total
        peers = FlopAnalyzer(model, x), ActivationAnalyzer(model, x)
        for peer in peers:
            peer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert [total.fvcore_flops, total.activations] == [peer.total() for peer in peers]


@pytest.fixture
def get_flops(monkeypatch, capsys):
    """Run the tool in this process."""
    main = runpy.run_path(str(TOOL))['main']
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())  # the tool sets a scope for its whole process

    def call(*args):
        monkeypatch.setattr(sys, 'argv', ['get_flops.py', *map(str, args)])
        main()
        return capsys.readouterr().out

    return call


def test_resnet_50_of_mmdet_at_224(get_flops, tmp_path):
    config = tmp_path / 'resnet.py'
    config.write_text("default_scope = 'mmdet'\nmodel = dict(type='ResNet', depth=50)\n")
    total = json.loads(get_flops(config, '--json'))['total']
    assert total['macs'] + 2048 * 1000 == 4_089_184_256  # torchvision's count of the whole classifier
    assert total['flops'] == 2 * total['macs']


def test_a_cascade_with_masks_on_as_many_boxes_as_configured(get_flops, tmp_path):
    config = tmp_path / 'detector.py'
    base = TOOL.parents[2] / 'configs/_base_/models/cascade_mask_rcnn_sparseswin_fpn.py'
    config.write_text("default_scope = 'mmdet'\n" + DETECTOR.format(base=str(base)))
    found = json.loads(get_flops(config, '--shape', 150, 201, '--depth', 3, '--json'))
    assert found['inputs'] == [[1, 3, 150, 201], [1, 4, 160, 224]]
    extractors = {
        f'roi_head.{kind}_roi_extractor.{i}': [n] for kind, n in (('bbox', 40), ('mask', 6)) for i in range(3)
    }
    assert found['boxes'] == extractors
    modules = found['modules']
    levels = [(16, 40, 56), (32, 20, 28), (64, 10, 14), (128, 5, 7)]  # channels, height, width
    assert modules['neck']['macs'] == sum((c * 24 + 9 * 24 * 24) * h * w for c, h, w in levels)
    assert modules['roi_head.bbox_head.2']['macs'] == 40 * (24 * 49 * 16 + 16 * 16 + 16 * 4 + 16 * 4)
    convs, upsample, logits = 9 * (24 * 8 + 3 * 8 * 8) * 14**2, 8 * 8 * 28**2, 8 * 3 * 28**2
    assert modules['roi_head.mask_head.0']['macs'] == 6 * (convs + upsample + logits)
    parts = ('backbone', 'neck', 'rpn_head', 'roi_head')
    assert found['total']['macs'] == sum(modules[part]['macs'] for part in parts)
    assert found['total']['params'] == sum(modules[part]['params'] for part in parts)
    assert found['compiled']['mmcv.ops.RoIAlign'] > 0
    with pytest.raises(InputError, match='use --device cpu'):
        get_flops(config, '--device', 'meta')


def test_the_table_of_a_named_classifier(get_flops):
    out = get_flops('swin-cifar', '--convention', 'fvcore', '--cfg-options', 'model.head.num_classes=10')
    assert '242,759,424 fvcore flops' in out
    assert '1,296,394 activations' in out
    assert '1 x 3 x 32 x 32' in out
    rows = {line.split()[0]: line.split() for line in get_flops('sparseswin-tiny', '--shape', 224).splitlines() if line}
    assert rows['model'][1:] == ['ImageClassifier', '20.750', 'M', '4.396', 'G', '8.793', 'G', '16.854', 'M']
    assert rows['stages.3'][1] == 'SparseStage'
    assert 'native_layer_norm' in ' '.join(rows['not'])


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (['swin-huge'], "'huge' is unknown"),
        (['nowhere.py'], 'no config at nowhere.py'),
        (['swin-tiny', '--shape', '0'], '--shape 0'),
        (['swin-tiny', '--shape', '1', '2', '3'], '--shape 1 2 3'),
    ],
)
def test_bad_input_is_one_error(get_flops, args, words):
    with pytest.raises(InputError, match=words):
        get_flops(*args)
