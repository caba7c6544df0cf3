"""What the time of the process and the class of the picture do inside the network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmsparseswin.layers.fast_path import choose
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.swin_block import SwinBlock
from mmsparseswin.layers.windows import window_plan

_PLANES = 4  # constant planes that carry the class
_HIDDEN_CLASS = (32, 16)  # widths of the path to them


def sinusoid(time: Tensor, dims: int) -> Tensor:
    """(B,) -> (B, dims): sines, then cosines, of ``time`` at frequencies 10000^(-i / (dims / 2))."""
    half = dims // 2
    frequencies = torch.exp(torch.arange(half, device=time.device) * (-math.log(10000) / half))
    angles = time.float()[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), 1)


class TimeEmbedding(nn.Module):
    """Sinusoids, linear to four times the channels, an activation, linear back.

    Args:
        dims: channels.
        act: the activation.
    """

    def __init__(self, dims: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.dims = dims
        self.fc1, self.act, self.fc2 = nn.Linear(dims, 4 * dims), act(), nn.Linear(4 * dims, dims)

    def forward(self, time: Tensor) -> Tensor:
        """(B,) times in [0, 1000] -> (B, dims)."""
        return self.fc2(self.act(self.fc1(sinusoid(time, self.dims))))


class ClassPlanes(nn.Module):
    """Write the class as four constant planes beside the picture (docs/models/swinunet.md, 'Published').

    Args:
        num_classes: rows of the embedding.
    """

    channels = _PLANES

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        wide, narrow = _HIDDEN_CLASS
        self.embedding = nn.Embedding(num_classes, wide)
        self.fc1, self.act, self.fc2 = nn.Linear(wide, narrow), nn.ReLU(), nn.Linear(narrow, _PLANES)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, C, H, W) and labels (B,) -> (B, C + 4, H, W)."""
        planes = self.fc2(self.act(self.fc1(self.embedding(labels))))
        return torch.cat((x, planes[:, :, None, None].expand(-1, -1, *x.shape[2:])), 1)


class StageTime(nn.Module):
    """Add a vector of the time to every position, before a stage.

    Args:
        time_dims: channels of the time embedding.
        dims: channels of the stage.
    """

    def __init__(self, time_dims: int, dims: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(time_dims, dims), nn.GELU(), nn.Linear(dims, dims)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Tokens (B, N, dims), time (B, time_dims) -> (B, N, dims)."""
        return x + self.fc2(self.act(self.fc1(time)))[:, None]


class Modulation(nn.Module):
    """Shifts, scales and gates from a condition, all 0 at the start (adaLN-Zero, arXiv 2212.09748, section 3.2).

    Args:
        cond_dims: channels of the condition.
        dims: channels of what they act on.
        count: vectors to return.
    """

    def __init__(self, cond_dims: int, dims: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.act, self.fc = nn.SiLU(), nn.Linear(cond_dims, count * dims)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, cond: Tensor) -> Sequence[Tensor]:
        """(B, cond_dims) -> ``count`` times (B, 1, dims)."""
        return self.fc(self.act(cond))[:, None].chunk(self.count, 2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(B, N, C), twice (B, 1, C) -> (B, N, C)."""
    return torch.addcmul(shift, x, 1 + scale)


class ConditionedBlock(SwinBlock):
    """Swin block whose norms and branches the condition shifts, scales and gates.

    Args:
        cond_dims: channels of the condition.
        dims, num_heads, window, shift, drop_path: of the Swin block.
    """

    def __init__(
        self, cond_dims: int, dims: int, num_heads: int, window: tuple[int, int], shift: bool, drop_path: float = 0.0
    ) -> None:
        super().__init__(dims, num_heads, window, shift, drop_path=drop_path)
        # The modulation has the norms' own scales and shifts in it.
        self.norm1, self.norm2 = (nn.LayerNorm(dims, elementwise_affine=False) for _ in range(2))
        self.modulation = Modulation(cond_dims, dims, 6)

    def forward(self, x: Tensor, grid: Grid, cond: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """(B, N, C) tokens of ``grid``, condition (B, cond_dims) -> (B, N, C)."""
        assert cond is not None
        fast = choose(x, self.attn, self.mlp)
        plan = window_plan(grid, self.attn.window, self.shift, x.device, self.shift_single)
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(cond)
        attended = self.attn(modulate(self.norm1(x), shift1, scale1), plan, fast=fast)[0]
        x = torch.addcmul(x, self.drop_path(attended), gate1)
        return torch.addcmul(x, self.drop_path(self.mlp(modulate(self.norm2(x), shift2, scale2), fast)), gate2)


class PlainBlock(SwinBlock):
    """Swin block that no condition reaches, and whose drop path, as published, acts on the MLP alone."""

    def forward(self, x: Tensor, grid: Grid, cond: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """(B, N, C) tokens of ``grid`` -> (B, N, C); ``cond`` is ignored."""
        fast = choose(x, self.attn, self.mlp)
        plan = window_plan(grid, self.attn.window, self.shift, x.device, self.shift_single)
        x = x + self.attend(x, plan, fast)
        return x + self.drop_path(self.transform(x, fast))
