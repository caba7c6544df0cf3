"""Build necks over any number of maps: PAN and DenseFPN (docs/models/ssd.md, 'Necks').

The FPN of that page is mmdet's with bilinear resizing. No norm, no activation; every convolution has a bias and starts
as Xavier has it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.necks import FPN
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.registry import MODELS


@MODELS.register_module()
class PAN(FPN):
    """PAN neck: a feature pyramid with bilinear resizing, then a path back of added convolutions of stride 2.

    The published one has fixed paddings (1, the last 0) and fails where they do not meet the next map, as at 21 -> 10
    cells. Here each is the one that does: 1 before 0, and where neither does the map is resized.

    Args:
        in_channels: channels of the maps, finest first.
        out_channels: channels of every output.
        num_outs: number of outputs; those beyond the maps halve the last one, as in mmdet's FPN. None: one per map.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        _check_outs(in_channels, num_outs)
        super().__init__(
            list(in_channels),
            out_channels,
            len(in_channels),
            upsample_cfg=dict(mode='bilinear'),
            init_cfg=init_cfg or dict(type='Xavier', layer='Conv2d', distribution='uniform'),
        )
        self.extra_outs = (num_outs or self.num_ins) - self.num_ins
        self.down_convs = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, 2, 1) for _ in in_channels[1:])

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps (B, in_channels[i], h_i, w_i) into maps (B, out_channels, h_i, w_i) and add the smaller ones."""
        outs = list(super().forward(inputs))
        for i, conv in enumerate(self.down_convs):
            outs[i + 1] = outs[i + 1] + _downsample(conv, outs[i], outs[i + 1].shape[2:])  # type: ignore[arg-type]
        return _with_extra_outs(outs, self.extra_outs)


@MODELS.register_module()
class DenseFPN(BaseModule):
    """DenseFPN neck: fuse each map with every coarser fused map by concatenation and one 3x3 convolution.

    Args:
        in_channels: channels of the maps, finest first.
        out_channels: channels of every output.
        num_outs: number of outputs; those beyond the maps halve the last one, as in mmdet's FPN. None: one per map.
        init_cfg: mmengine's.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        _check_outs(in_channels, num_outs)
        super().__init__(init_cfg or dict(type='Xavier', layer='Conv2d', distribution='uniform'))
        self.in_channels, self.out_channels = list(in_channels), out_channels
        self.extra_outs = (num_outs or len(in_channels)) - len(in_channels)
        self.lateral_convs = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        # One per map except the coarsest, coarse to fine; its input is its map and all coarser ones.
        self.fusion_convs = nn.ModuleList(
            nn.Conv2d(count * out_channels, out_channels, 3, padding=1) for count in range(2, len(in_channels) + 1)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Turn maps (B, in_channels[i], h_i, w_i) into maps (B, out_channels, h_i, w_i) and add the smaller ones."""
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=True)][::-1]
        fused = laterals[:1]
        for conv, lateral in zip(self.fusion_convs, laterals[1:], strict=True):
            coarser = [F.interpolate(x, lateral.shape[2:], mode='bilinear', align_corners=False) for x in fused]
            fused.append(conv(torch.cat([*coarser, lateral], 1)))
        return _with_extra_outs(fused[::-1], self.extra_outs)


def _check_outs(in_channels: Sequence[int], num_outs: int | None) -> None:
    if num_outs is not None and num_outs < len(in_channels):
        raise InputError(f'num_outs={num_outs} is less than the {len(in_channels)} maps of in_channels')


def _downsample(conv: nn.Conv2d, x: Tensor, size: Sequence[int]) -> Tensor:
    """Apply a 3x3 convolution of stride 2 to ``x`` (B, C, h, w), with outputs of ``size``."""
    padding = tuple(
        0 if (length + 1) // 2 != target and (length - 1) // 2 == target else 1
        for length, target in zip(x.shape[2:], size, strict=True)
    )
    x = F.conv2d(x, conv.weight, conv.bias, stride=2, padding=padding)
    return x if x.shape[2:] == size else F.interpolate(x, size, mode='bilinear', align_corners=False)


def _with_extra_outs(outs: list[Tensor], count: int) -> tuple[Tensor, ...]:
    """Add ``count`` maps to ``outs``, each every second cell of the map before."""
    for _ in range(count):
        outs.append(outs[-1][:, :, ::2, ::2])
    return tuple(outs)
