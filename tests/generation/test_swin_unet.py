"""SwinUNet: counts of the published form, forms of ours, and what is refused."""

import pytest
import torch
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.generation.conditioning import sinusoid
from mmsparseswin.generation.swin_unet import SwinUNet


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_published_form_has_the_published_counts():
    with torch.device('meta'):
        grey, colour = SwinUNet('published-224'), SwinUNet('published-224', in_channels=3)
    assert count(grey) == 52_999_457
    assert count(colour) == 53_002_963
    assert count(grey.classes) == 916
    assert count(grey.time) == 131_712
    assert count(grey.patch_embed) == 7_968
    assert count(grey.encoder, grey.merging) == 27_508_890
    assert count(grey.stage_time) == 970_560
    assert count(grey.middle) == 14_183_856
    assert [count(level) for level in grey.decoder] == [7_385_718, 1_851_180, 923_304]
    assert count(grey.output) == 35_353


def test_the_published_form_with_wider_time_has_the_published_count():
    with torch.device('meta'):
        model = SwinUNet(SwinUNet.arch_zoo['published-224'] | {'cond_dims': 256}, in_channels=3)
    assert count(model) == 53_581_139


def test_the_published_form_maps_pictures_to_pictures():
    model = SwinUNet('published-224').eval()
    x = torch.randn(1, 1, 224, 224)
    with torch.no_grad():
        out = model(x, torch.tensor([500.0]), torch.tensor([3]))
        other_class = model(x, torch.tensor([500.0]), torch.tensor([4]))
        other_time = model(x, torch.tensor([10.0]), torch.tensor([3]))
    assert out.shape == x.shape
    assert not torch.allclose(out, other_class)
    assert not torch.allclose(out, other_time)


@pytest.mark.parametrize(('arch', 'channels', 'side'), [('mnist', 1, 28), ('cifar10', 3, 32)])
@pytest.mark.parametrize('conditioning', ['adaln', 'planes'])
def test_our_forms_start_at_zero_and_listen_to_picture_time_and_class(arch, channels, side, conditioning):
    torch.manual_seed(0)
    model = SwinUNet(arch, in_channels=channels, conditioning=conditioning)
    x, time, labels = torch.randn(2, channels, side, side), torch.tensor([10.0, 900.0]), torch.tensor([0, 9])
    assert model(x, time, labels).abs().max() == 0
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    out = model(x, time, labels)
    assert out.shape == x.shape
    for changed in ((x + 1, time, labels), (x, time + 50, labels), (x, time, labels.flip(0))):
        assert (model(*changed) - out).abs().flatten(1).amax(1).min() > 1e-4
    if conditioning == 'adaln':
        assert not torch.allclose(model(x, time, torch.full_like(labels, 10)), out)  # no class


def test_every_parameter_of_ours_learns():
    torch.manual_seed(0)
    model = SwinUNet('mnist')
    for p in model.parameters():
        nn.init.normal_(p, std=0.1)
    model(torch.randn(2, 1, 28, 28), torch.tensor([1.0, 800.0]), torch.tensor([1, 10])).square().sum().backward()
    # A bias common to all keys changes no softmax.
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_pixels_come_out_where_they_went_in():
    """Without blocks, and with layers that copy, the network is the identity: patches and pixels are in one order."""
    model = SwinUNet('mnist')
    for p in model.parameters():
        nn.init.zeros_(p)
    x = torch.randn(1, 1, 28, 28)
    nn.init.dirac_(model.patch_embed.proj.weight)
    with torch.no_grad():
        for i in range(4):
            model.patch_embed.proj.weight[i, 0] = torch.eye(4)[i].view(2, 2)
            model.output.fc.weight[i, i] = 1
        model.patch_embed.proj.weight[4:] = 0
    tokens, grid = model.patch_embed(x, model_grid(model))
    assert torch.allclose(model.output(tokens, grid), x)


def model_grid(model: SwinUNet):
    from mmsparseswin.layers.grid import Grid

    return Grid(model.img_size, model.img_size)


def test_sinusoid():
    time, dims = torch.tensor([0.0, 3.0, 999.0]), 128
    found = sinusoid(time, dims)
    i = torch.arange(64, dtype=torch.float64)
    angles = time.double()[:, None] * 10000 ** (-i / 64)
    assert torch.allclose(found.double(), torch.cat((angles.sin(), angles.cos()), 1), atol=1e-3)


def test_drop_path_as_published_leaves_attention_alone():
    from mmsparseswin.generation.conditioning import PlainBlock
    from mmsparseswin.layers.grid import Grid

    torch.manual_seed(0)
    block = PlainBlock(8, 2, (4, 4), False, drop_path=0.9999).train()
    x, grid = torch.randn(3, 16, 8), Grid(4, 4)
    attended = block(x, grid)
    block.drop_path.rate = 0.0
    nn.init.zeros_(block.mlp.fc2.weight)
    assert torch.allclose(attended, block(x, grid), atol=1e-6)
    assert not torch.allclose(attended, x)


@pytest.mark.parametrize('size', [(27, 28), (29, 29), (32, 32), (56, 56)])
def test_other_sizes_are_refused_in_one_line(size):
    with pytest.raises(InputError, match=r'draws 1 x 28 x 28') as error:
        SwinUNet('mnist')(torch.randn(1, 1, *size), torch.tensor([1.0]), torch.tensor([1]))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch='minst'), "arch 'minst' is unknown"),
        (dict(arch=SwinUNet.arch_zoo['mnist'] | {'img_size': 30}), 'must be a multiple of 28'),
        (dict(arch=SwinUNet.arch_zoo['mnist'] | {'dims': (48, 100)}), 'twice as wide'),
        (dict(arch=SwinUNet.arch_zoo['mnist'] | {'heads': (5, 4)}), 'do not divide'),
        (dict(arch=SwinUNet.arch_zoo['mnist'] | {'depths': (1,)}), 'need 2 of them'),
        (dict(arch={'img_size': 28}), 'missing'),
        (dict(arch='mnist', conditioning='film'), "conditioning 'film' is unknown"),
        (dict(arch='published-224', conditioning='adaln'), "must be 'planes'"),
        (dict(arch='mnist', drop_path_rate=1.0), 'drop_path_rate'),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SwinUNet(**options)
