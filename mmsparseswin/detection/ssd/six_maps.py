"""Make six maps for SSD from any backbone (docs/models/ssd.md, 'Backbones')."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS as DETECTION_MODELS
from mmengine.model import BaseModule, Sequential
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import PatchExpanding
from mmsparseswin.registry import MODELS

MAPS = 6


@MODELS.register_module()
class LN2d(nn.LayerNorm):
    """Apply layer norm over the channels of each cell of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W); the shape stays."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class SixMapBackbone(BaseModule):
    """Backbone with six maps: its own and smaller ones made from its last.

    Each further map is a 1x1 and a 3x3 convolution, both with norm and ReLU, of the map before.

    Args:
        backbone: config of any backbone whose ``forward`` returns maps, finest first: the taps. Its ``init_cfg`` works
            as it does without this wrapper.
        extra: for each further map (channels between, channels, stride, padding) of its convolutions. Where a map is
            too small for a 3x3 kernel it is padded to it, so that images of any size pass.
        norm_cfg: norm of the further maps: ``dict(type='BN')``, ``dict(type='mmsparseswin.LN2d')``.
        tap_channels: channels of the backbone's maps; may be left out if it has ``out_channels``, as ours have.
        expand: first split each cell of the last tap into 2 x 2 of half its channels
            (:class:`mmsparseswin.layers.patches.PatchExpanding`).
        first_scale: L2-normalise the first map over its channels and multiply each by a learnt number that starts here
            (SSD, section 3.1: 20); None: leave it.
        init_cfg: mmengine's, for the whole; by default the further maps start as Xavier has it.

    Attributes:
        out_channels: channels of the six maps.

    Raises:
        InputError: not six maps in all, or unknown channels of the taps.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        extra: Sequence[tuple[int, int, int, int]],
        norm_cfg: dict[str, Any] | None = None,
        tap_channels: Sequence[int] | None = None,
        expand: bool = False,
        first_scale: float | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = DETECTION_MODELS.build(backbone)
        known = getattr(self.backbone, 'out_channels', None)
        channels = list(tap_channels or known or ())
        if not channels or (known and list(known) != channels):
            raise InputError(
                f'tap_channels {tap_channels}: name the channels of each map of {backbone["type"]}'
                + (f', which are {list(known)}' if known else '')
            )
        if len(channels) + len(extra) != MAPS:
            raise InputError(f'{len(channels)} maps of the backbone and {len(extra)} of extra; {MAPS} are needed')
        self.expand = PatchExpanding(channels[-1]) if expand else None
        if expand:
            channels[-1] //= 2
        self.first_scale = None
        if first_scale is not None:
            self.first_scale = nn.Parameter(torch.full((1, channels[0], 1, 1), float(first_scale)))
        self.extra = Sequential(init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'))
        for between, out, stride, padding in extra:
            options: dict[str, Any] = dict(norm_cfg=norm_cfg or dict(type='BN'), bias=False)
            reduce = ConvModule(channels[-1], between, 1, **options)
            self.extra.append(nn.Sequential(reduce, ConvModule(between, out, 3, stride, padding, **options)))
            channels.append(out)
        self.out_channels = tuple(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return six maps (B, C, h, w), finest first, for an input of the backbone such as (B, 3, H, W)."""
        maps = list(self.backbone(x))
        if self.expand is not None:
            tokens, grid = self.expand(maps[-1].flatten(2).transpose(1, 2), Grid(*maps[-1].shape[2:]))
            maps[-1] = grid.to_map(tokens)
        for reduce, conv in self.extra:
            maps.append(conv(_pad_to(reduce(maps[-1]), 3 - 2 * conv.conv.padding[0])))
        if self.first_scale is not None:
            maps[0] = F.normalize(maps[0], dim=1) * self.first_scale
        return tuple(maps)


def _pad_to(x: Tensor, side: int) -> Tensor:
    """Pad shorter sides of ``x`` (B, C, h, w) with zeros; from 2 to 3 this is the published padding 1 at 224."""
    lack = [max(side - length, 0) for length in x.shape[2:]]
    top, left = ((n + 1) // 2 for n in lack)
    return F.pad(x, (left, lack[1] - left, top, lack[0] - top)) if any(lack) else x
