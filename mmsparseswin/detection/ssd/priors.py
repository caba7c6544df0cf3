"""Generate SSD's priors (arXiv 1512.02325) in units of the image, for images of any size."""

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.prior_generators import SSDAnchorGenerator
from torch import Tensor

from mmsparseswin.registry import TASK_UTILS


@TASK_UTILS.register_module()
class RelativeSSDAnchorGenerator(SSDAnchorGenerator):
    """mmdet's generator with the priors of docs/models/ssd.md, 'Priors': the image is 1 wide and 1 high.

    A map cell holds, in this order, a square of side s, one of side sqrt(s * next s), for each ratio r a box of
    s * sqrt(r) by s / sqrt(r), and the upright twin of each. Centres are the middles of the cells, row by row. mmdet's
    own takes strides and sizes in whole pixels of one image size, which hit neither these centres nor these sizes.

    Args:
        scales: s of each map, finest first.
        last_scale: what follows the last of `scales`.
        ratios: width by height of the oblong boxes of each map.
        clip: no box is wider or higher than the image (centre and size are clipped, so a corner may lie outside).
    """

    def __init__(
        self,
        scales: Sequence[float] = (0.1, 0.2, 0.375, 0.55, 0.725, 0.9),
        last_scale: float = 1.0,
        ratios: Sequence[Sequence[float]] = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
        clip: bool = True,
    ) -> None:
        super().__init__(
            strides=[1] * len(scales),  # only their number matters here
            ratios=ratios,
            min_sizes=scales,
            max_sizes=[*scales[1:], last_scale],
            scale_major=False,
        )
        self.clip = clip

    def gen_base_anchors(self) -> list[Tensor]:
        """Return corners (priors, 4) around (0, 0) of a cell of each map, all wide boxes before the upright ones."""
        return [torch.cat((boxes[:2], boxes[2::2], boxes[3::2])) for boxes in super().gen_base_anchors()]

    def gen_single_level_base_anchors(
        self, base_size: float, scales: Tensor, ratios: Tensor, center: tuple[float, float] | None = None
    ) -> Tensor:
        """Return corners (priors, 4) around (0, 0)."""
        return super().gen_single_level_base_anchors(base_size, scales, ratios, (0.0, 0.0))

    def single_level_grid_priors(
        self,
        featmap_size: tuple[int, int],
        level_idx: int,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = 'cuda',
    ) -> Tensor:
        """Return corners x1, y1, x2, y2 of all priors of a map of (height, width) cells: (cells * priors, 4)."""
        half = self.base_anchors[level_idx][:, 2:].to(device, dtype)  # (A, 2): half the width, half the height
        if self.clip:
            half = half.clamp(max=0.5)
        height, width = featmap_size
        xs = (torch.arange(width, device=device, dtype=dtype) + 0.5) / width
        ys = (torch.arange(height, device=device, dtype=dtype) + 0.5) / height
        centres = torch.stack(self._meshgrid(xs, ys), -1)[:, None]  # (cells, 1, 2)
        return torch.cat((centres - half, centres + half), -1).view(-1, 4)

    def sparse_priors(
        self,
        prior_idxs: Tensor,
        featmap_size: tuple[int, int],
        level_idx: int,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = 'cuda',
    ) -> Tensor:
        """Return the priors with these numbers."""
        return self.single_level_grid_priors(featmap_size, level_idx, dtype, device)[prior_idxs]
