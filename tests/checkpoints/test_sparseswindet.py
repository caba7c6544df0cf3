"""Convert a SparseSwinDet by its published names, and compare neck and heads with a restatement on these names.

See docs/models/sparse_swin_det.md, 'Weights'.
"""

import pytest
import torch
import torch.nn.functional as F
from golden import load_case
from mmdet.registry import MODELS

from mmsparseswin import create_model
from mmsparseswin.checkpoints import convert, load_pretrained
from mmsparseswin.errors import InputError

CLASSES, WIDTH, TOKEN_DIMS = 5, 8, 512


def parts(width: int = WIDTH, classes: int = CLASSES, token_dims: int = TOKEN_DIMS) -> dict[str, torch.Tensor]:
    """Return random tensors of everything but the encoder, under the published names."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return 0.3 * torch.randn(shape, generator=generator)

    state = {}

    def conv(name, out, into, kernel):
        state[f'{name}.weight'], state[f'{name}.bias'] = draw(out, into, kernel, kernel), draw(out)

    for name, into, kernel in (
        ('conv3', 192, 1),
        ('conv4', 384, 1),
        ('conv5', token_dims, 1),
        ('conv6', token_dims, 3),
    ):
        conv(name, width, into, kernel)
    conv('conv7.1', width, width, 3)
    for layer in range(2):
        names = [f'conv{i}_up' for i in (6, 5, 4, 3)] + [f'conv{i}_down' for i in (4, 5, 6, 7)]
        for name in names:
            node = f'bifpn.{layer}.{name}.conv'
            conv(f'{node}.0', width, 1, 3)
            conv(f'{node}.1', width, width, 1)
            state |= {f'{node}.2.weight': 1 + draw(width), f'{node}.2.bias': draw(width)}
            state |= {f'{node}.2.running_mean': draw(width), f'{node}.2.running_var': 1 + draw(width).abs()}
            state[f'{node}.2.num_batches_tracked'] = torch.tensor(3)
        for level, count in (('6_w1', 2), ('5_w1', 2), ('4_w1', 2), ('3_w1', 2), ('4_w2', 3), ('5_w2', 3), ('6_w2', 3)):
            state[f'bifpn.{layer}.p{level}'] = draw(count) + 0.2  # some are negative: ReLU takes them off
        state[f'bifpn.{layer}.p7_w2'] = draw(2) + 0.2
    for head, numbers in (('regressor', 4), ('classifier', classes)):
        for i in (0, 2, 4):
            conv(f'{head}.layers.{i}', width, width, 3)
        conv(f'{head}.header', 9 * numbers, width, 3)
    return state


def file() -> dict[str, torch.Tensor]:
    """Return a state dict with all that a published one holds: stages 1 to 3 twice, and the rest of Swin-T."""
    encoder = load_case('sparseswin_dense_tiny_224').state_dict
    twice = {f'swin_model.features.{n.split(".", 1)[1]}': t for n, t in encoder.items() if n.startswith('block')}
    unused = {'swin_model.features.7.0.norm1.weight': torch.ones(768), 'swin_model.features.6.norm.bias': torch.ones(8)}
    unused |= {'swin_model.norm.weight': torch.ones(768), 'swin_model.head.bias': torch.ones(1000)}
    return {f'backbone_net.{n}': t for n, t in (encoder | twice | unused).items()} | parts()


def published(state, c3, c4, c5):
    """Return scores (B, anchors, classes) before the sigmoid and deltas (B, anchors, 4): level, position, anchor."""

    def conv(name, x, **options):
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], **options)

    def node(name, weights, *maps):
        w = state[weights].clamp(min=0)
        x = sum(w[i] / (w.sum() + 1e-4) * one for i, one in enumerate(maps))
        x = conv(f'{name}.conv.1', conv(f'{name}.conv.0', x, padding=1, groups=x.shape[1]))
        norm = (state[f'{name}.conv.2.{part}'] for part in ('running_mean', 'running_var', 'weight', 'bias'))
        return F.batch_norm(x, *norm, eps=4e-5).relu()

    def up(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    p6 = conv('conv6', c5, stride=2, padding=1)
    maps = dict(zip(range(3, 8), (conv('conv3', c3), conv('conv4', c4), conv('conv5', c5), p6), strict=False))
    maps[7] = conv('conv7.1', p6.relu(), stride=2, padding=1)
    for layer in ('bifpn.0', 'bifpn.1'):
        ups = {7: maps[7]}
        for i in (6, 5, 4, 3):
            ups[i] = node(f'{layer}.conv{i}_up', f'{layer}.p{i}_w1', maps[i], up(ups[i + 1]))
        outs = {3: ups[3]}
        for i in (4, 5, 6, 7):
            between = [ups[i]] if i < 7 else []
            finer = F.max_pool2d(outs[i - 1], 2)
            outs[i] = node(f'{layer}.conv{i}_down', f'{layer}.p{i}_w2', maps[i], *between, finer)
        maps = outs

    def head(name, numbers):
        flat = []
        for x in maps.values():
            for i in (0, 2, 4):
                x = conv(f'{name}.layers.{i}', x, padding=1).relu()
            x = conv(f'{name}.header', x, padding=1)
            flat.append(x.permute(0, 2, 3, 1).reshape(len(x), -1, numbers))
        return torch.cat(flat, 1)

    return head('classifier', CLASSES), head('regressor', 4)


@pytest.fixture(scope='module')
def converted():
    return convert(file())


@pytest.fixture(scope='module')
def model(converted):
    built = MODELS.build(converted.model)
    built.load_state_dict(converted.state_dict, strict=True)
    return built.eval()


def test_the_file_is_recognised_and_dead_tensors_are_listed(converted):
    assert converted.source == 'sparseswindet'
    state = file()
    assert len(converted.state_dict) + len(converted.dropped) == len(state)
    for name in ('features.7.0.norm1.weight', 'features.6.norm.bias', 'norm.weight', 'head.bias'):
        assert 'never used' in converted.dropped[f'backbone_net.swin_model.{name}']
    assert 'second name' in converted.dropped['backbone_net.swin_model.features.0.0.weight']
    assert {name.split('.')[0] for name in converted.dropped} == {'backbone_net'}
    assert 'dropped' in str(converted)


def test_the_model_has_the_sizes_of_the_file(converted):
    model = converted.model
    assert (model['neck']['in_channels'], model['neck']['repeats']) == ([192, 384, TOKEN_DIMS], 2)
    assert (model['bbox_head']['num_classes'], model['bbox_head']['stacked_convs']) == (CLASSES, 3)
    assert model['data_preprocessor']['pad_size_divisor'] == model['backbone']['img_size'] == 224
    assert model['backbone']['pos_encoding'] == 'sincos1d'
    assert not model['unused_stage']


@torch.no_grad()
def test_outputs_are_the_published_ones_in_their_order(model):
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(2, c, s, s, generator=generator) for c, s in ((192, 32), (384, 16), (TOKEN_DIMS, 8))]
    scores, deltas = model.bbox_head(model.neck(maps))
    expected = published(parts(), *maps)
    for found, wanted in zip((scores, deltas), expected, strict=True):
        flat = [m.permute(0, 2, 3, 1).reshape(2, -1, wanted.shape[-1]) for m in found]
        torch.testing.assert_close(torch.cat(flat, 1), wanted, rtol=1e-4, atol=1e-4)
    assert wanted.shape[1] == 9 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2)


@torch.no_grad()
def test_the_backbone_is_the_published_encoder(model):
    case = load_case('sparseswin_dense_tiny_224')
    for i, found in enumerate(model.backbone(case.image), start=1):
        assert case.difference(found, f'map{i}') < 1e-4


def test_a_backbone_starts_from_the_detector(tmp_path):
    torch.save(file(), tmp_path / 'detector.pth')
    backbone = create_model('sparseswin-tiny', arch=dict(
        embed_dims=96, depths=(2, 2, 6), num_heads=(3, 6, 12), num_tokens=49, token_dims=512, token_depth=4
    ), token_to_map='mlp', token_qkv_bias=False, output_norm=False)  # fmt: skip
    report = load_pretrained(backbone, tmp_path / 'detector.pth')
    assert (report.source, report.missing, report.unexpected) == ('sparseswindet', [], [])
    assert 'part of a detector' in report.dropped['neck.extra.0.weight (our name)']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('bifpn.1.p7_w2'), r'neck\.layers\.1\.down\.3\.fusion_weights \(our name\) is missing'),
        (lambda s: s.update({'regressor.layers.6.weight': torch.ones(1)}), 'has no place in the model'),
        (lambda s: s.update({'bifpn.0.extra': torch.ones(1)}), r'bifpn\.0\.extra belongs to no'),
        (lambda s: s.update({'conv6.weight': torch.ones(8, 9, 3, 3)}), r'neck\.extra\.0\.weight .* has shape'),
        (lambda s: s.update({'classifier.header.weight': torch.ones(46, 8, 3, 3)}), 'no whole number of classes'),
        (lambda s: s.pop('conv4.weight'), r'neck\.laterals\.1\.weight'),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    state = file()
    change(state)
    with pytest.raises(InputError, match=message):
        convert(state, source='sparseswindet')


class Pickled(torch.nn.Module):
    """Stands for the published class, whose source a user need not have."""

    def __setstate__(self, state):
        """Prove that the file's class ran."""
        raise AssertionError('code of the file ran')


def as_module(state: dict[str, torch.Tensor]) -> Pickled:
    """Return a module with this state dict."""
    root = Pickled()
    for name, tensor in state.items():
        *path, last = name.split('.')
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module._modules[part]
        if tensor.is_floating_point():
            module.register_parameter(last, torch.nn.Parameter(tensor))
        else:
            module.register_buffer(last, tensor)
    root.register_buffer('passing', torch.ones(1), persistent=False)
    return root


def test_a_pickled_module_is_read_and_never_executed(tmp_path, converted):
    path = tmp_path / 'whole.pth'
    torch.save(as_module(file()), path)
    with pytest.raises(AssertionError, match='code of the file ran'):  # as torch would
        torch.load(path, weights_only=False)
    read = convert(path)
    assert read.source == 'sparseswindet'
    assert read.dropped.keys() == converted.dropped.keys()
    assert read.state_dict.keys() == converted.state_dict.keys()
    assert all(torch.equal(t, converted.state_dict[name]) for name, t in read.state_dict.items())
    assert any('objects left unread' in note and 'Pickled' in note for note in read.notes)


def test_a_pickled_module_that_holds_itself_is_refused(tmp_path):
    module = torch.nn.Module()
    module._modules['again'] = module
    torch.save(module, tmp_path / 'circle.pth')
    with pytest.raises(InputError, match='lies too deep in the pickled module, or holds itself'):
        convert(tmp_path / 'circle.pth')


def test_a_pickled_module_that_unfolds_without_end_is_refused(tmp_path):
    module = torch.nn.Module()
    for _ in range(40):  # 2 ** 40 modules
        outer = torch.nn.Module()
        outer._modules |= {'a': module, 'b': module}
        module = outer
    torch.save(module, tmp_path / 'doubled.pth')
    with pytest.raises(InputError, match='lies too deep'):
        convert(tmp_path / 'doubled.pth')


def test_a_pickled_module_without_tensors_is_named(tmp_path):
    torch.save(torch.nn.Module(), tmp_path / 'empty.pth')
    with pytest.raises(InputError, match='holds no tensors'):
        convert(tmp_path / 'empty.pth')
