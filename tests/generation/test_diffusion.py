"""Training, averaging and drawing: samplers reach the picture that a perfect network knows."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.generation import library
from mmsparseswin.generation.model import PictureDiffusion
from mmsparseswin.generation.processes import Diffusion, RectifiedFlow
from mmsparseswin.registry import MODELS

TINY = dict(
    img_size=8, patch_size=2, window=2, dims=(16, 32), depths=(1, 1), heads=(2, 2), middle=1, decoder_depths=(1,),
    decoder_heads=(2,), cond_dims=16,
)  # fmt: skip
V = dict(type='mmsparseswin.Diffusion')
FLOW = dict(type='mmsparseswin.RectifiedFlow')
AVERAGE = dict(decay=0.999, use_ema_warmup=True, power=0.75)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def build(process=V, unet=None, **options) -> PictureDiffusion:
    torch.manual_seed(0)
    options.setdefault('sampler', 'flow-euler' if process == FLOW else 'ddim')
    unet = dict(type='mmsparseswin.SwinUNet', arch=TINY) | (unet or {})
    model = MODELS.build(dict(type='mmsparseswin.PictureDiffusion', unet=unet, process=process, **options))
    model.updates_average = True
    return model


def shake(model: PictureDiffusion) -> PictureDiffusion:
    """Give weights that are not at their start, where the output is zero."""
    for p in model.unet.parameters():
        nn.init.normal_(p, std=0.2)
    return model


def request(count=4):
    torch.manual_seed(1)
    return torch.randn(count, 1, 8, 8), torch.arange(count) % 10


class Knowing(nn.Module):
    """Predicts what a perfect network would, if all pictures were ``picture``."""

    num_classes, in_channels, img_size = 10, 1, 8

    def __init__(self, process, picture) -> None:
        super().__init__()
        self.process, self.picture = process, picture

    def forward(self, x, time, labels):
        if isinstance(self.process, RectifiedFlow):
            return (x - self.picture) / (time / 1000)[:, None, None, None]
        alpha = self.process.schedule.alphas_cumprod[(time * self.process.steps / 1000).round().long()]
        a, s = (part[:, None, None, None] for part in (alpha.sqrt(), (1 - alpha).sqrt()))
        noise = (x - a * self.picture) / s
        return noise if self.process.prediction == 'epsilon' else a * noise - s * self.picture


@pytest.mark.parametrize(
    ('process', 'sampler', 'steps'),
    [(V, 'ddpm', 50), (V, 'ddim', 10), (V, 'dpm-solver++', 20), (FLOW, 'flow-euler', 10), (FLOW, 'flow-heun', 10)]
    + [(V | dict(prediction='epsilon', zero_snr=False, steps=500), name, 50) for name in Diffusion.samplers],
)
def test_every_sampler_reaches_the_picture_of_a_network_that_knows_it(process, sampler, steps):
    model = build(process, sampler=sampler)
    picture = torch.linspace(-0.9, 0.9, 64).view(1, 1, 8, 8)
    model.unet = Knowing(model.process, picture)
    noise, labels = request()
    drawn = model.draw(noise, labels, steps=steps, guidance=1.5)  # both predictions are one
    assert drawn.shape == noise.shape
    assert (drawn - picture).abs().max() < 0.05


@pytest.mark.parametrize(
    'process', [V, FLOW, dict(type='mmsparseswin.Diffusion', prediction='epsilon', zero_snr=False)]
)
def test_the_task_is_what_a_network_that_knows_the_picture_solves(process):
    model = build(process)
    picture = torch.rand(1, 1, 8, 8) * 2 - 1
    task = model.process.task(picture.expand(64, -1, -1, -1))
    found = Knowing(model.process, picture)(task.noisy, task.time, None)
    kept = task.time > 5  # close to no noise, the noise cannot be told
    assert torch.allclose(found[kept], task.target[kept], atol=2e-3)
    assert (task.weight >= 0).all()
    assert task.weight.max() <= 1


def test_min_snr_caps_the_weights():
    process = Diffusion(min_snr=5.0)
    index = torch.arange(1000)
    alpha = process.schedule.alphas_cumprod
    snr = alpha / (1 - alpha)
    assert torch.allclose(process._weights(index), snr.clamp(max=5) / (snr + 1), rtol=1e-4)
    assert (Diffusion(min_snr=None)._weights(index) == 1).all()


def test_the_last_step_is_noise_alone_unless_published():
    assert Diffusion().schedule.alphas_cumprod[-1] == 0
    published = Diffusion('epsilon', zero_snr=False, max_beta=0.9999, clip=False, steps=500).schedule
    betas, alphas = published.betas, published.alphas_cumprod
    assert [round(float(beta), 4) for beta in betas[-3:]] == [0.5555, 0.75, 0.9999]
    assert [f'{float(alpha):.1e}' for alpha in alphas[-3:]] == ['3.9e-05', '9.7e-06', '9.7e-10']


@pytest.mark.parametrize('process', [V, FLOW])
def test_one_step_lowers_the_loss_of_a_fixed_batch(process):
    model = build(process)
    pictures, labels = request(8)
    optimizer = torch.optim.AdamW(model.unet.parameters(), lr=1e-3)

    def loss():
        torch.manual_seed(3)
        return model.loss(pictures.clamp(-1, 1), labels)['loss']

    before = loss()
    before.backward()
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize('sampler', Diffusion.samplers)
def test_drawing_is_deterministic_and_batches_change_nothing(sampler):
    model = shake(build(unet=dict(drop_path_rate=0.5), sampler=sampler)).train()
    noise, labels = request()
    seeds = [5, 6, 7, 8]
    drawn = model.draw(noise, labels, seeds, guidance=2, steps=4)
    assert model.unet.training
    assert drawn.isfinite().all()
    assert drawn.abs().max() <= 1
    assert torch.equal(drawn, model.draw(noise, labels, seeds, guidance=2, steps=4))
    alone = model.draw(noise[2:3], labels[2:3], seeds[2:3], guidance=2, steps=4)
    assert torch.allclose(drawn[2:3], alone, atol=1e-4)


def test_drop_path_while_drawing_is_the_published_fault():
    model = shake(build(unet=dict(drop_path_rate=0.5), drop_while_drawing=True))
    noise, labels = request()
    assert not torch.equal(model.draw(noise, labels, steps=4), model.draw(noise, labels, steps=4))


def test_classes_are_drawn_by_seed_class_and_number():
    model = shake(build())
    rows = model.draw_classes([3, 7], 3, seed=1, steps=2)
    assert [len(row) for row in rows] == [3, 3]
    again = model.draw_classes([7], 2, seed=1, steps=2, batch_size=1)
    for one, two in zip(rows[1], again[0], strict=False):
        assert (one.int() - two.int()).abs().max() <= 1  # rounding
    assert not torch.equal(rows[0][0], rows[0][1])
    assert not torch.equal(model.draw_classes([3], 1, seed=2, steps=2)[0][0], rows[0][0])


def test_guidance_one_is_the_plain_model_and_more_goes_on():
    model = shake(build())
    noise, labels = request()
    time = torch.full((4,), 400.0)
    with_class = model.unet(noise, time, labels)
    without = model.unet(noise, time, torch.full_like(labels, 10))
    assert torch.equal(model._guided(model.unet, noise, time, labels, 1), with_class)
    found = model._guided(model.unet, noise, time, labels, 3.0)
    assert torch.allclose(found, without + 3 * (with_class - without), atol=1e-4)


def test_the_averaged_weights_are_drawn():
    model = shake(build(average=AVERAGE))
    noise, labels = request()
    start = model.draw(noise, labels, steps=2)
    assert start.abs().max() > 0
    raw = copy.deepcopy(model.averaged.state_dict())
    for _ in range(3):
        shake(model)
        model.update_average()
        step = int(model.average_steps)
        decay = min(0.999, 1 - (1 + step - 1) ** -0.75) if step > 1 else 0.0
        for name, p in model.unet.named_parameters():
            raw[name] = decay * raw[name] + (1 - decay) * p.detach()
    for name, p in model.averaged.named_parameters():
        assert torch.allclose(p, raw[name], atol=1e-5), name
    drawn = model.draw(noise, labels, steps=2)
    shake(model)
    assert torch.equal(drawn, model.draw(noise, labels, steps=2))  # the trained weights do not matter
    other = build(average=AVERAGE)
    other.load_state_dict(model.state_dict())
    assert torch.equal(drawn, other.draw(noise, labels, steps=2))
    for each in (model, other):
        each.update_average()
    assert torch.equal(next(model.averaged.parameters()), next(other.averaged.parameters()))


def test_an_average_that_nothing_updates_is_refused():
    model = build(average=AVERAGE)
    model.updates_average = False
    with pytest.raises(InputError, match='AverageWeightsHook'):
        model.loss(*request())


def test_enlarged_pictures_are_averaged_down():
    model = build(dict(FLOW), enlarge=2)
    model.unet = Knowing(model.process, torch.full((1, 1, 8, 8), 0.5))
    drawn = model.draw(*request())
    assert drawn.shape == (4, 1, 4, 4)
    assert (drawn - 0.5).abs().max() < 1e-3


def test_the_modes_of_mmengine():
    model = shake(build())
    noise, labels = request()
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    assert model(noise, samples, 'loss')['loss'].dim() == 0
    assert model(noise, samples, 'tensor').shape == noise.shape
    drawn = model(noise, samples, 'predict')
    assert [sample.picture.shape for sample in drawn] == [(1, 8, 8)] * 4
    assert drawn[0].picture.dtype == torch.uint8
    with pytest.raises(InputError, match='mode'):
        model(noise, samples, 'draw')


def test_pictures_are_scaled_and_noise_is_not():
    model = build()
    picture = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 3)
    found = model.data_preprocessor(dict(inputs=[picture, picture]))['inputs']
    assert torch.allclose(found[0].flatten(), torch.tensor([-1.0, 1.0, -0.6]))
    noise = torch.randn(2, 1, 8, 8)
    assert torch.equal(model.data_preprocessor(dict(inputs=noise))['inputs'], noise)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(sampler='flow-euler'), 'does not draw by Diffusion'),
        (dict(process=FLOW, sampler='ddim'), 'does not draw by RectifiedFlow'),
        (dict(guidance=2.0, drop_class=0), 'drop_class'),
        (dict(process=V | dict(prediction='epsilon')), 'zero_snr'),
        (dict(process=V | dict(prediction='noise')), "'noise' is unknown"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_without_diffusers_one_line_says_how_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f'No module named {name!r}', name='diffusers')

    monkeypatch.setattr(library, 'import_module', missing)
    with pytest.raises(InputError, match=r"pip install 'mmsparseswin\[generation\]'"):
        build()


@pytest.mark.parametrize('name', ['swinunet_mnist', 'swinunet-flow_mnist-cpu', 'swinunet_cifar10'])
def test_configs_build_and_learn(name):
    cfg = Config.fromfile(f'configs/generation/{name}.py')
    model = MODELS.build(cfg.model)
    model.updates_average = True
    side = model.unet.img_size
    pictures = torch.randint(256, (2, model.unet.in_channels, side, side), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=list(pictures)))['inputs']
    model.loss(data, torch.tensor([0, 9]))['loss'].backward()
    assert cfg.default_scope == 'mmpretrain'


def test_the_peer_takes_the_same_call():
    options = dict(type='mmsparseswin.DiffusersUNet', sample_size=8, block_out_channels=(32, 32), layers_per_block=1)
    options |= dict(down_block_types=('DownBlock2D', 'DownBlock2D'), up_block_types=('UpBlock2D', 'UpBlock2D'))
    network = MODELS.build(options)
    assert network(torch.randn(2, 1, 8, 8), torch.tensor([1.0, 900.0]), torch.tensor([0, 10])).shape == (2, 1, 8, 8)
