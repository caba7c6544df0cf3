"""Draw the attention of each stage over the image."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmsparseswin.analysis.attention_maps import Attention
from mmsparseswin.analysis.attention_views import attention_received, rollout
from mmsparseswin.layers.sparse_stage import SparseStage


def attention_heat(model: nn.Module, records: Sequence[Attention]) -> dict[int, Tensor]:
    """Return the attention that each place of the image receives, by stage.

    A stage of windows: what each token receives in its last block of windows, the mean over heads. The sparse stage:
    how much each sparse token has in the mean of all of them (rollout), put where its row of the linear layer collects
    from; those places are the same for every image, only the shares differ.

    Args:
        model: the model that was recorded.
        records: of one forward pass, images of one size.

    Returns:
        stage -> (B, height, width) of that stage's grid, 1 on average.
    """
    heat = {r.stage: attention_received(r).mean(1) for r in records if r.kind == 'window'}
    sparse = [module for module in model.modules() if isinstance(module, SparseStage)]
    tokens = [r for r in records if r.kind == 'tokens']
    if sparse and tokens and sparse[0].token_resize == 'weight':
        grid = tokens[-1].grid
        shares = rollout(records, tokens[-1].stage).mean(1)  # (B, T)
        rows = sparse[0].weight_at((grid.height, grid.width)).detach().abs()
        places = shares @ (rows / rows.sum(1, keepdim=True))
        heat[tokens[-1].stage] = places.unflatten(1, (grid.height, grid.width))
    return {stage: one / one.mean((1, 2), keepdim=True) for stage, one in sorted(heat.items())}


def draw_heat(image: np.ndarray, heat: Mapping[int, Tensor]) -> Figure:
    """Draw the image (H, W, 3), uint8 RGB, and beside it an overlay of each stage's map (height, width)."""
    height, width = image.shape[:2]
    figure = Figure(figsize=(2.6 * (1 + len(heat)), 2.6 * height / width + 0.4), layout='constrained')
    first, *others = figure.subplots(1, 1 + len(heat), squeeze=False)[0]
    first.imshow(image)
    first.set_title('input')
    for axes, (stage, places) in zip(others, heat.items(), strict=True):
        axes.imshow(image)
        axes.imshow(places, cmap='inferno', alpha=0.6, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        axes.set_title(f'stage {stage + 1}')
    for axes in (first, *others):
        axes.set_axis_off()
    return figure


def to_picture(inputs: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> np.ndarray:
    """Turn a normalised input (3, H, W) back into a uint8 image (H, W, 3)."""
    pixels = inputs if mean is None or std is None else inputs * std + mean
    return pixels.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def input_picture(inputs: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> np.ndarray:
    """Turn the input (3 or 4, H, W) of a backbone back into an image (H, W, 3), uint8, without padding if it is marked.

    Args:
        inputs: normalised; a fourth channel is 1 on the image and 0 on padding.
        mean: that was taken off the image, and ``std``: by which it was divided, (3, 1, 1) each.
        std: see ``mean``.
    """
    height, width = inputs.shape[-2:]
    if len(inputs) == 4:
        inside = inputs[3] > 0.5
        height, width = int(inside.any(1).sum()), int(inside.any(0).sum())
    return to_picture(inputs[:3, :height, :width].float(), mean, std)
