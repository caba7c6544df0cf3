"""Model class for mmengine: learns to undo noise, and draws pictures of given classes."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.generation.library import diffusers
from mmsparseswin.generation.processes import check_sampler
from mmsparseswin.registry import MODELS, TASK_UTILS


@MODELS.register_module()
class PixelRange(BaseDataPreprocessor):
    """Stack pictures, uint8 ones scaled to [-1, 1]; noise (float) stays as it is."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the batch with 'inputs' (B, C, H, W) float32."""
        data = self.cast_data(data)
        inputs = data['inputs']
        inputs = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 127.5 - 1
        return data | {'inputs': inputs}


@MODELS.register_module()
class PictureDiffusion(BaseModel):
    """Network, process and averaged weights.

    Args:
        unet: the network, with ``forward(x, time, labels)``, ``num_classes`` and ``in_channels``.
        process: :class:`Diffusion` or :class:`RectifiedFlow`.
        average: options of diffusers' EMAModel, whose weights are sampled; None samples the weights as trained.
        drop_class: share of training pictures whose class is withheld, for guidance; 0 for a network that has no place
            for "no class".
        sampler: scheduler that draws.
        draw_steps: steps of it.
        guidance: how far to go from the prediction without class to the one with it, and beyond (arXiv 2207.12598);
            1 is the prediction with class alone.
        enlarge: train and draw pictures enlarged so many times, and average them down at the end.
        drop_while_drawing: leave drop path on while drawing, as published; an experiment.
        data_preprocessor: of mmengine.
        init_cfg: of mmengine.

    Raises:
        InputError: a sampler of another process, or guidance without a class to withhold.
    """

    def __init__(
        self,
        unet: dict,
        process: dict,
        average: dict | None = None,
        drop_class: float = 0.1,
        sampler: str = 'dpm-solver++',
        draw_steps: int = 20,
        guidance: float = 1.0,
        enlarge: int = 1,
        drop_while_drawing: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or dict(type='mmsparseswin.PixelRange'), init_cfg)
        self.unet = MODELS.build(unet)
        self.process = TASK_UTILS.build(process)
        self.drop_class, self.enlarge, self.drop_while_drawing = drop_class, enlarge, drop_while_drawing
        self.sampler, self.draw_steps, self.guidance = sampler, draw_steps, guidance
        check_sampler(self.process, sampler)
        self._check_guidance(guidance)
        self.averaged = self._ema = None
        if average is not None:
            self.averaged = deepcopy(self.unet).requires_grad_(False)
            self._ema = diffusers('training_utils').EMAModel(self.unet.parameters(), **average)
            self._ema.shadow_params = list(self.averaged.parameters())  # saved and moved with the model
            self.register_buffer('average_steps', torch.zeros((), dtype=torch.long))
        self.updates_average = average is None  # set by AverageWeightsHook

    def update_average(self) -> None:
        """Move the averaged weights towards the trained ones; call it after every step of the optimizer."""
        if self._ema is not None:
            self._ema.optimization_step = int(self.average_steps)
            self._ema.step(self.unet.parameters())
            self.average_steps += 1

    @property
    def drawing_network(self) -> nn.Module:
        """The network that draws: averaged weights, if there are any."""
        return self.unet if self.averaged is None else self.averaged

    def forward(self, inputs: Tensor, data_samples: Sequence[Any], mode: str = 'tensor') -> Any:
        """Run one of mmengine's modes.

        Args:
            inputs: 'loss': pictures (B, C, H, W) in [-1, 1]; else noise of that shape.
            data_samples: B of them with ``gt_label``; for 'predict' with a number ``seed``, if the sampler draws noise.
            mode: 'loss', 'predict' or 'tensor'.

        Returns:
            {'loss': scalar}; the samples with ``picture`` (C, H, W) uint8; or the prediction from ``inputs`` as pure
            noise.
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(inputs.device)
        if mode == 'loss':
            return self.loss(inputs, labels)
        if mode == 'predict':
            seeds = [int(sample.get('seed', 0)) for sample in data_samples]
            for sample, picture in zip(data_samples, self.draw(inputs, labels, seeds), strict=True):
                sample.set_field(to_uint8(picture), 'picture')
            return list(data_samples)
        if mode == 'tensor':
            return self.unet(inputs, inputs.new_full((len(inputs),), 1000.0), labels)
        raise InputError(f"mode {mode!r} is unknown; choose 'loss', 'predict' or 'tensor'")

    def loss(self, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the weighted mean squared error of the prediction."""
        if not self.updates_average:
            raise InputError(
                'nothing would update the averaged weights: add dict(type="mmsparseswin.AverageWeightsHook") to '
                'custom_hooks, or set model.average=None'
            )
        if self.enlarge > 1:
            pictures = F.interpolate(pictures, scale_factor=self.enlarge, mode='bicubic').clamp(-1, 1)
        task = self.process.task(pictures)
        if self.drop_class:
            none = torch.rand(len(labels), device=labels.device) < self.drop_class
            labels = labels.masked_fill(none, self.unet.num_classes)
        error = (self.unet(task.noisy, task.time, labels).float() - task.target).square().mean((1, 2, 3))
        return {'loss': (task.weight * error).mean()}

    @torch.no_grad()
    def draw(
        self,
        noise: Tensor,
        labels: Tensor,
        seeds: Sequence[int] | None = None,
        guidance: float | None = None,
        steps: int | None = None,
        sampler: str | None = None,
    ) -> Tensor:
        """Draw pictures.

        Args:
            noise: (B, C, H, W), standard normal, of the size that the network works on.
            labels: (B,) classes.
            seeds: one for each picture, for samplers that add noise on their way.
            guidance, steps, sampler: None takes the model's.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            InputError: as for the class.
        """
        guidance = self.guidance if guidance is None else guidance
        self._check_guidance(guidance)
        name = sampler or self.sampler
        check_sampler(self.process, name)
        network = self.drawing_network
        was_training = network.training
        network.train(self.drop_while_drawing)
        scheduler = self.process.start(name, steps or self.draw_steps, noise.device)
        options = {}
        if name == 'ddpm':
            options['generator'] = [torch.Generator(noise.device).manual_seed(s) for s in seeds or range(len(noise))]
        x = noise * getattr(scheduler, 'init_noise_sigma', 1.0)
        for timestep in scheduler.timesteps:
            time = self.process.time(timestep).float().expand(len(x))
            prediction = self._guided(network, x, time, labels, guidance)
            x = scheduler.step(prediction, timestep, x, **options).prev_sample
        network.train(was_training)
        if self.enlarge > 1:
            x = F.avg_pool2d(x, self.enlarge)
        return x.clamp(-1, 1)

    def draw_classes(
        self, classes: Sequence[int], count: int, seed: int = 0, batch_size: int = 100, **options: Any
    ) -> list[list[Tensor]]:
        """Draw ``count`` pictures of each class.

        The noise of a picture depends on ``seed``, its class and its number alone.

        Args:
            classes: labels.
            count: pictures of each.
            seed: of the noise.
            batch_size: pictures at once.
            **options: guidance, steps and sampler of :meth:`draw`.

        Returns:
            Per class, pictures (C, H, W) uint8.
        """
        requests = [(label, noise_seed(seed, label, number)) for label in classes for number in range(count)]
        device = next(self.unet.parameters()).device
        size = (self.unet.in_channels, self.unet.img_size, self.unet.img_size)
        drawn: list[Tensor] = []
        for first in range(0, len(requests), batch_size):
            labels, seeds = zip(*requests[first : first + batch_size], strict=True)
            noise = torch.stack([starting_noise(size, each) for each in seeds]).to(device)
            drawn += to_uint8(self.draw(noise, torch.tensor(labels, device=device), seeds, **options)).cpu()
        return [drawn[first : first + count] for first in range(0, len(drawn), count)]

    def _guided(self, network: nn.Module, x: Tensor, time: Tensor, labels: Tensor, guidance: float) -> Tensor:
        if guidance == 1:
            return network(x, time, labels).float()
        none = torch.full_like(labels, self.unet.num_classes)
        both = network(torch.cat((x, x)), torch.cat((time, time)), torch.cat((labels, none)))
        with_class, without = both.float().chunk(2)
        return torch.lerp(without, with_class, guidance)

    def _check_guidance(self, guidance: float) -> None:
        if guidance != 1 and not self.drop_class:
            raise InputError(f'guidance {guidance:g} needs a network trained with drop_class > 0; it must be 1 here')


def noise_seed(seed: int, label: int, number: int) -> int:
    """Return the seed of the noise of picture ``number`` of a class."""
    return int(np.random.SeedSequence((seed, label, number)).generate_state(1)[0])


def starting_noise(size: Sequence[int], seed: int) -> Tensor:
    """Standard normal noise (C, H, W), drawn on the CPU: the same on every device."""
    return torch.randn(tuple(size), generator=torch.Generator().manual_seed(seed))


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] -> uint8."""
    return ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
