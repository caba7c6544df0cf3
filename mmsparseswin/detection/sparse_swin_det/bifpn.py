"""Build the BiFPN neck (arXiv 1911.09070, section 3) as SparseSwinDet has it, for maps of any size.

See docs/models/sparse_swin_det.md, 'Neck'.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn, ones

from mmsparseswin.errors import InputError
from mmsparseswin.registry import MODELS


class FusionNode(nn.Module):
    """Fuse maps of one size: a weighted mean, a depth-wise and a point-wise convolution, a norm, ReLU.

    Args:
        channels: channels of every map.
        inputs: number of maps.
        norm_cfg: mmcv's; None for no norm.
        epsilon: added to the sum of the weights.
    """

    def __init__(self, channels: int, inputs: int, norm_cfg: dict[str, Any] | None, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.fusion_weights = nn.Parameter(ones(inputs))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.norm = build_norm_layer(norm_cfg, channels)[1] if norm_cfg else nn.Identity()

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse ``inputs`` maps (B, C, h, w) to one."""
        weights = F.relu(self.fusion_weights)
        weights = weights / (weights.sum() + self.epsilon)
        fused = sum(w * x for w, x in zip(weights, maps, strict=True))
        return F.relu(self.norm(self.pointwise(self.depthwise(fused))))


class FusionLayer(nn.Module):
    """Run the nodes of one BiFPN layer: from the coarsest map to the finest, and back.

    Nodes between the ends of the way back take three maps: the layer's input, the node of the way up, the finer output.
    """

    def __init__(self, channels: int, levels: int, norm_cfg: dict[str, Any] | None, epsilon: float) -> None:
        super().__init__()
        counts = [3] * (levels - 2) + [2]
        # up[i] makes level i, down[i] level i + 1.
        self.up = nn.ModuleList(FusionNode(channels, 2, norm_cfg, epsilon) for _ in range(levels - 1))
        self.down = nn.ModuleList(FusionNode(channels, count, norm_cfg, epsilon) for count in counts)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Turn maps (B, C, h_i, w_i), finest first, into maps of the same sizes."""
        ups = list(maps)
        for i in range(len(maps) - 2, -1, -1):
            ups[i] = self.up[i]([maps[i], _double(ups[i + 1], maps[i].shape[2:])])
        outs = ups[:1]
        for i, node in enumerate(self.down, start=1):
            between = [ups[i]] if i < len(maps) - 1 else []
            outs.append(node([maps[i], *between, _halve(outs[-1], maps[i].shape[2:])]))
        return outs


@MODELS.register_module()
class BiFPN(BaseModule):
    """BiFPN neck with fast normalised fusion.

    A 1x1 convolution brings each input to ``out_channels``. A further level is a 3x3 convolution of stride 2: of the
    last input, then of the level before after ReLU. No norm follows these convolutions.

    The published fusion needs levels that halve exactly, i.e. images whose sides 128 divides. Here an odd map is
    doubled and cut, or halved with a border cell of its own; where levels halve exactly the numbers are the published
    ones.

    Args:
        in_channels: channels of the inputs, finest first.
        out_channels: channels of every output.
        num_outs: number of levels.
        repeats: BiFPN layers.
        norm_cfg: norm of every node; None for no norm.
        epsilon: added to the sum of the fusion weights.
        init_cfg: mmengine's; by default Xavier's uniform.

    Raises:
        InputError: fewer levels than inputs, or fewer than two.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 64,
        num_outs: int = 5,
        repeats: int = 2,
        norm_cfg: dict[str, Any] | None = None,
        epsilon: float = 1e-4,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Xavier', layer='Conv2d', distribution='uniform'))
        if num_outs < max(len(in_channels), 2):
            raise InputError(f'num_outs={num_outs}: {max(len(in_channels), 2)} levels are the least for these inputs')
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.laterals = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        widths = [in_channels[-1]] + [out_channels] * num_outs
        self.extra = nn.ModuleList(
            nn.Conv2d(widths[i], out_channels, 3, 2, 1) for i in range(num_outs - len(in_channels))
        )
        self.layers = nn.ModuleList(FusionLayer(out_channels, num_outs, norm_cfg, epsilon) for _ in range(repeats))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps (B, in_channels[i], h_i, w_i) into ``num_outs`` maps (B, out_channels, h_i, w_i)."""
        maps = [conv(x) for conv, x in zip(self.laterals, inputs, strict=True)]
        for i, conv in enumerate(self.extra):
            maps.append(conv(F.relu(maps[-1]) if i else inputs[-1]))
        for layer in self.layers:
            maps = layer(maps)
        return tuple(maps)


def _double(x: Tensor, size: Sequence[int]) -> Tensor:
    """Double ``x`` (B, C, h, w) by repetition and cut it to ``size``."""
    height, width = size
    if 2 * x.shape[2] < height or 2 * x.shape[3] < width:  # maps of a backbone that rounds down
        return F.interpolate(x, (height, width), mode='nearest')
    return F.interpolate(x, scale_factor=2.0, mode='nearest')[:, :, :height, :width]


def _halve(x: Tensor, size: Sequence[int]) -> Tensor:
    """Halve ``x`` (B, C, h, w) to ``size`` by the maxima of 2x2 cells."""
    half = F.max_pool2d(x, 2, ceil_mode=True)
    return half if half.shape[2:] == size else F.adaptive_max_pool2d(x, (size[0], size[1]))
