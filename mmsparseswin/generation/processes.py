"""Processes that turn pictures into noise and back, by schedulers of diffusers (docs/models/swinunet.md, 'Process')."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.generation.library import diffusers
from mmsparseswin.registry import TASK_UTILS

STEPS = 1000  # of the processes, and the unit of time


class Task(NamedTuple):
    """What the network has to learn from a batch of B pictures."""

    noisy: Tensor  # (B, C, H, W)
    time: Tensor  # (B,), 0 to 1000
    target: Tensor  # (B, C, H, W)
    weight: Tensor  # (B,)


@TASK_UTILS.register_module()
class Diffusion:
    """Variance-preserving diffusion with cosine betas.

    Args:
        prediction: 'v_prediction' or 'epsilon'.
        min_snr: cap of the weights by signal-to-noise ratio (min-SNR, arXiv 2303.09556); None weighs all times alike.
        zero_snr: rescale the betas so that the last step is noise alone (arXiv 2305.08891).
        max_beta: clip of the betas; .999, or .9999 as in the published SwinUNet.
        clip: clip the predicted picture to [-1, 1] while drawing.
        steps: of the process.

    Raises:
        InputError: a combination that cannot draw.
    """

    samplers = ('ddpm', 'ddim', 'dpm-solver++')

    def __init__(
        self,
        prediction: str = 'v_prediction',
        min_snr: float | None = 5.0,
        zero_snr: bool = True,
        max_beta: float = 0.999,
        clip: bool = True,
        steps: int = STEPS,
    ) -> None:
        if prediction not in ('v_prediction', 'epsilon'):
            raise InputError(f"prediction {prediction!r} is unknown; choose 'v_prediction' or 'epsilon'")
        if zero_snr and prediction == 'epsilon':
            raise InputError(
                "zero_snr does not work with prediction='epsilon': pure noise tells no picture; set zero_snr=False"
            )
        self.prediction, self.min_snr, self.clip, self.steps = prediction, min_snr, clip, steps
        betas = diffusers('schedulers.scheduling_ddpm').betas_for_alpha_bar(steps, max_beta)
        self.options = dict(
            num_train_timesteps=steps,
            trained_betas=betas.tolist(),
            prediction_type=prediction,
            rescale_betas_zero_snr=zero_snr,
            timestep_spacing='trailing',
        )
        self.schedule = self.scheduler('ddpm')

    def scheduler(self, name: str) -> Any:
        """Build one of ``samplers``."""
        library = diffusers()
        if name == 'ddpm':
            return library.DDPMScheduler(**self.options, clip_sample=self.clip)
        if name == 'ddim':
            return library.DDIMScheduler(**self.options, clip_sample=self.clip)
        # Its threshold, at most 1, is the clip of the others.
        return library.DPMSolverMultistepScheduler(**self.options, thresholding=self.clip, sample_max_value=1.0)

    def task(self, pictures: Tensor) -> Task:
        """Draw times and noise for pictures (B, C, H, W) in [-1, 1]."""
        index = torch.randint(self.steps, (len(pictures),), device=pictures.device)
        noise = torch.randn_like(pictures)
        noisy = self.schedule.add_noise(pictures, noise, index)
        if self.prediction == 'epsilon':
            target = noise
        else:
            target = self.schedule.get_velocity(pictures, noise, index)
        return Task(noisy, index * (STEPS / self.steps), target, self._weights(index))

    def _weights(self, index: Tensor) -> Tensor:
        if self.min_snr is None:
            return torch.ones(len(index), device=index.device)
        snr = diffusers('training_utils').compute_snr(self.schedule, index)
        return snr.clamp(max=self.min_snr) / (snr + 1 if self.prediction == 'v_prediction' else snr)

    def start(self, name: str, steps: int, device: torch.device) -> Any:
        """Return a scheduler set to draw in ``steps`` steps."""
        scheduler = self.scheduler(name)
        scheduler.set_timesteps(min(steps, self.steps), device=device)
        return scheduler

    def time(self, timestep: Tensor) -> Tensor:
        """Return the network's time, 0 to 1000, of a scheduler's timestep."""
        return timestep * (STEPS / self.steps)


@TASK_UTILS.register_module()
class RectifiedFlow:
    """Straight lines from noise to pictures (arXiv 2209.03003), times logit-normal (arXiv 2403.03206, section 3.1).

    Args:
        mean: of the logit of the time.
        std: of the logit of the time; 0 draws times uniformly.
    """

    samplers = ('flow-euler', 'flow-heun')

    def __init__(self, mean: float = 0.0, std: float = 1.0) -> None:
        self.mean, self.std = mean, std
        self.schedule = diffusers().FlowMatchEulerDiscreteScheduler(num_train_timesteps=STEPS)

    def task(self, pictures: Tensor) -> Task:
        """Draw times and noise for pictures (B, C, H, W) in [-1, 1]."""
        scheme = 'logit_normal' if self.std else 'none'
        draw = diffusers('training_utils').compute_density_for_timestep_sampling
        share = draw(scheme, len(pictures), self.mean, self.std, device=pictures.device)
        time = self.schedule.timesteps.to(pictures.device)[(share * STEPS).long().clamp(max=STEPS - 1)]
        noise = torch.randn_like(pictures)
        noisy = self.schedule.scale_noise(pictures, time, noise)
        return Task(noisy, time, noise - pictures, torch.ones_like(time))

    def start(self, name: str, steps: int, device: torch.device) -> Any:
        """Return a scheduler set to draw in ``steps`` steps."""
        library = diffusers()
        if name == 'flow-heun':
            scheduler = library.FlowMatchHeunDiscreteScheduler(num_train_timesteps=STEPS)
            scheduler.set_timesteps(steps, device=device)
        else:
            scheduler = library.FlowMatchEulerDiscreteScheduler(num_train_timesteps=STEPS)
            scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist(), device=device)
        return scheduler

    def time(self, timestep: Tensor) -> Tensor:
        """Return the network's time, 0 to 1000, of a scheduler's timestep."""
        return timestep


def check_sampler(process: Any, name: str) -> None:
    """Raise an InputError unless the sampler ``name`` belongs to the process."""
    if name not in process.samplers:
        raise InputError(
            f'sampler {name!r} does not draw by {type(process).__name__}; choose one of {list(process.samplers)}'
        )
