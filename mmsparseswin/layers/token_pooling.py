"""From the image tokens of a cell to one semantic token: their largest values, or a learned mean."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import MASKED, UnitPlan

POOLING = ('max', 'learned')


class TokenLogits(nn.Module):
    """How much an image token counts in its pooling cell: depth-wise convolution, layer norm, GELU, linear."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dims, dims, 3, padding=1, groups=dims)
        self.norm, self.act = nn.LayerNorm(dims), nn.GELU()
        self.logit = nn.Linear(dims, 1, bias=False)  # softmax would not see a bias

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """(B, N, C) -> (B, N), very low on padding."""
        logits = self.logit(self.act(self.norm(self.conv(grid.to_map(x)).flatten(2).transpose(1, 2))))[..., 0]
        return logits if grid.valid is None else logits.masked_fill(~grid.mask(x.device).flatten(1), MASKED)


def max_pool(x: Tensor, grid: Grid, plan: UnitPlan) -> Tensor:
    """Image tokens (B, N, C) -> the largest of each cell (B, T, C); zero where a cell has no valid token."""
    if grid.valid is not None:
        x = x.masked_fill(~grid.mask(x.device).flatten(1)[:, :, None], -torch.inf)
    largest = _in_cells(x, plan).amax(2)
    return largest if grid.valid is None else largest.masked_fill(largest == -torch.inf, 0)


def weighted_pool(x: Tensor, logits: Tensor, plan: UnitPlan) -> Tensor:
    """Image tokens (B, N, C) and logits (B, N) -> weighted means (B, T, C) of the cells."""
    logits = F.pad(logits, (0, 1), value=MASKED).index_select(1, plan.cells.flatten()).view(-1, *plan.cells.shape)
    weights = logits.masked_fill(plan.repeats, MASKED).softmax(2)[:, :, None]  # (B, T, 1, slots)
    return (weights @ _in_cells(x, plan))[:, :, 0]


def _in_cells(x: Tensor, plan: UnitPlan) -> Tensor:
    """Image tokens (B, N, C) -> the tokens of each cell (B, T, slots, C)."""
    # No unflatten: behind it, PyTorch's exporter to ONNX takes the batch size for a constant.
    return F.pad(x, (0, 0, 0, 1)).index_select(1, plan.cells.flatten()).view(-1, *plan.cells.shape, x.shape[-1])
