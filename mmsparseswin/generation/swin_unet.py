"""SwinUNet: Swin blocks as encoder, middle and decoder with skips (docs/models/swinunet.md)."""

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.errors import InputError
from mmsparseswin.generation.conditioning import (
    ClassPlanes,
    ConditionedBlock,
    Modulation,
    PlainBlock,
    StageTime,
    TimeEmbedding,
    modulate,
)
from mmsparseswin.generation.outputs import DualOutput, PixelOutput
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import ConvPatchMerging, PatchEmbed, PatchExpanding, PatchMerging
from mmsparseswin.registry import MODELS

CONDITIONING = ('adaln', 'planes')
_Block = ConditionedBlock | PlainBlock


@MODELS.register_module()
class SwinUNet(nn.Module):
    """Swin U-Net that predicts noise, velocity or flow from a picture with noise, its time and its class.

    Args:
        arch: a name of ``arch_zoo``, or a dict with the keys of its entries.
        in_channels: channels of the picture, and of the output.
        num_classes: classes; with 'adaln' the label ``num_classes`` stands for no class.
        conditioning: 'adaln' (time and class in every block, usable for guidance) or 'planes' (as published: the class
            as planes beside the picture, the time before each stage of the encoder). None: the arch's.
        drop_path_rate: stochastic depth of the encoder's last block, growing linearly from 0. None: the arch's.

    Raises:
        InputError: an unknown arch or conditioning, or sizes that do not divide.
    """

    # fmt: off
    arch_zoo: dict[str, dict[str, Any]] = {
        # dims, depths and heads: per level of the encoder; decoder: per level, from the coarsest map up.
        'mnist':   dict(img_size=28, patch_size=2, window=7, dims=(48, 96), depths=(1, 2), heads=(2, 4), middle=1,
                        decoder_depths=(1,), decoder_heads=(2,), cond_dims=96),
        'cifar10': dict(img_size=32, patch_size=2, window=8, dims=(96, 192), depths=(2, 2), heads=(3, 6), middle=2,
                        decoder_depths=(2,), decoder_heads=(3,), cond_dims=192),
        'published-224': dict(
            img_size=224, patch_size=4, window=7, dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), heads=(3, 6, 12, 24),
            middle=2, decoder_depths=(2, 2, 6), decoder_heads=(3, 6, 12), cond_dims=128, conditioning='planes',
            published=True, drop_path_rate=0.2),
    }
    # fmt: on

    def __init__(
        self,
        arch: str | dict[str, Any],
        in_channels: int = 1,
        num_classes: int = 10,
        conditioning: str | None = None,
        drop_path_rate: float | None = None,
    ) -> None:
        super().__init__()
        s = self.settings = _settings(self.arch_zoo, arch, conditioning, drop_path_rate)
        dims, published = s['dims'], s['published']
        self.img_size, self.in_channels, self.num_classes = s['img_size'], in_channels, num_classes
        self.adaln = s['conditioning'] == 'adaln'
        cond_dims = s['cond_dims']

        self.time = TimeEmbedding(cond_dims, nn.GELU if published else nn.SiLU)
        self.classes = nn.Embedding(num_classes + 1, cond_dims) if self.adaln else ClassPlanes(num_classes)
        planes = 0 if self.adaln else ClassPlanes.channels
        self.patch_embed = PatchEmbed(in_channels + planes, dims[0], s['patch_size'])
        self.positions = None
        if not published:
            # A norm would hide from the network how strong the noise is.
            self.patch_embed.norm = nn.Identity()  # type: ignore[assignment]
            side = s['img_size'] // s['patch_size']
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, side * side, dims[0]), std=0.02))

        depths, heads = s['depths'], s['heads']
        rates = torch.linspace(0, s['drop_path_rate'], sum(depths), device='cpu').tolist()
        merging = ConvPatchMerging if published else PatchMerging
        taken = iter(rates)
        self.encoder = nn.ModuleList(
            self._blocks(dim, heads[i], islice(taken, depths[i])) for i, dim in enumerate(dims)
        )
        self.merging = nn.ModuleList(merging(a, b) for a, b in pairwise(dims))
        self.stage_time = nn.ModuleList() if self.adaln else nn.ModuleList(StageTime(cond_dims, dim) for dim in dims)
        self.middle = self._blocks(dims[-1], heads[-1], [0.0] * s['middle'])
        taken = iter(rates)  # the published decoder uses depths and rates of the encoder from its beginning
        self.decoder = nn.ModuleList(
            DecoderLevel(
                wide, dim, self._blocks(dim, s['decoder_heads'][i], islice(taken, s['decoder_depths'][i])), published
            )
            for i, (wide, dim) in enumerate(zip(dims[:0:-1], dims[-2::-1], strict=True))
        )
        self.final_norm = nn.LayerNorm(dims[0], elementwise_affine=not self.adaln) if not published else None
        self.final = Modulation(cond_dims, dims[0], 2) if self.adaln else None
        self.output = (DualOutput if published else PixelOutput)(dims[0], in_channels, s['patch_size'])

    def _blocks(self, dims: int, heads: int, rates: Iterable[float]) -> nn.ModuleList:
        """Blocks of one width, every second one shifted."""
        window = (self.settings['window'],) * 2

        def block(shift: bool, rate: float) -> _Block:
            if self.adaln:
                return ConditionedBlock(self.settings['cond_dims'], dims, heads, window, shift, rate)
            return PlainBlock(dims, heads, window, shift, drop_path=rate)

        return nn.ModuleList(block(bool(i % 2), rate) for i, rate in enumerate(rates))

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Predict.

        Args:
            x: (B, in_channels, img_size, img_size) pictures with noise.
            time: (B,), from 0 (no noise) to 1000.
            labels: (B,) classes; ``num_classes`` for none.

        Returns:
            (B, in_channels, img_size, img_size).

        Raises:
            InputError: another size.
        """
        if x.shape[1:] != (self.in_channels, self.img_size, self.img_size):
            raise InputError(
                f'pictures of {x.shape[1]} x {x.shape[2]} x {x.shape[3]}; this SwinUNet draws '
                f'{self.in_channels} x {self.img_size} x {self.img_size} (channels, height, width); give it this size'
            )
        cond = self.time(time)
        if self.adaln:
            cond = cond + self.classes(labels)
        else:
            x = self.classes(x, labels)
        x, grid = self.patch_embed(x, Grid(self.img_size, self.img_size))
        if self.positions is not None:
            x = x + self.positions
        skips: list[tuple[Tensor, Grid]] = []
        first = x
        for level, blocks in enumerate(self.encoder):
            if level:
                x, grid = self.merging[level - 1](x, grid)
            entered = x
            if self.stage_time:
                x = self.stage_time[level](x, cond)
            x = _run(blocks, x, grid, cond)
            # The published skips are the maps that enter a level, before the time is added.
            skips.append((entered if self.settings['published'] else x, grid))
        x = _run(self.middle, x, grid, cond)
        for up, (skip, finer) in zip(self.decoder, skips[-2::-1], strict=True):
            x = _run(up.blocks, up(x, grid, skip), finer, cond)
            grid = finer
        if self.settings['published']:
            x = x + first
        if self.final_norm is not None:
            x = self.final_norm(x)
        if self.final is not None:
            x = modulate(x, *self.final(cond))
        return self.output(x, grid)


class DecoderLevel(nn.Module):
    """Twice as fine a map, joined with the encoder's of that size, then blocks.

    Args:
        wide: channels of the coarser map.
        dims: channels of the finer one.
        blocks: run by the network.
        published: join by a 3x3 convolution, instead of a linear layer.
    """

    def __init__(self, wide: int, dims: int, blocks: nn.ModuleList, published: bool) -> None:
        super().__init__()
        self.expand = PatchExpanding(wide)
        self.join = nn.Conv2d(2 * dims, dims, 3, padding=1) if published else nn.Linear(2 * dims, dims)
        self.blocks = blocks

    def forward(self, x: Tensor, grid: Grid, skip: Tensor) -> Tensor:
        """Tokens (B, N, wide) of ``grid`` and the skip (B, 4N, dims) -> (B, 4N, dims), not yet through the blocks."""
        x, finer = self.expand(x, grid)
        x = torch.cat((x, skip), 2)
        if isinstance(self.join, nn.Linear):
            return self.join(x)
        return self.join(finer.to_map(x)).flatten(2).transpose(1, 2)


def _run(blocks: Any, x: Tensor, grid: Grid, cond: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, grid, cond)
    return x


def _settings(
    zoo: dict[str, dict[str, Any]], arch: str | dict[str, Any], conditioning: str | None, drop_path_rate: float | None
) -> dict[str, Any]:
    """Return all settings of an arch, checked."""
    if isinstance(arch, str):
        if arch not in zoo:
            raise InputError(
                f'arch {arch!r} is unknown; choose one of {list(zoo)}, or a dict with {list(zoo["mnist"])}'
            )
        arch = zoo[arch]
    optional: dict[str, Any] = {'conditioning': 'adaln', 'published': False, 'drop_path_rate': 0.0}
    wanted = set(zoo['mnist'])
    missing, unknown = sorted(wanted - set(arch)), sorted(set(arch) - wanted - set(optional))
    if missing or unknown:
        raise InputError(
            f'arch dict: missing {missing}, unknown {unknown}; it takes {sorted(wanted)} and may take {list(optional)}'
        )
    s = optional | arch
    if conditioning is not None:
        s['conditioning'] = conditioning
    if drop_path_rate is not None:
        s['drop_path_rate'] = drop_path_rate
    if s['conditioning'] not in CONDITIONING:
        raise InputError(f'conditioning {s["conditioning"]!r} is unknown; choose one of {list(CONDITIONING)}')
    if s['published'] and s['conditioning'] != 'planes':
        raise InputError("the published form takes its class as planes: conditioning must be 'planes'")
    if not 0 <= s['drop_path_rate'] < 1:
        raise InputError(f'drop_path_rate {s["drop_path_rate"]!r} must be a number in [0, 1), e.g. 0.1')
    _check_sizes(s)
    return s


def _check_sizes(s: dict[str, Any]) -> None:
    levels = len(s['dims'])
    for name in ('depths', 'heads', 'decoder_depths', 'decoder_heads'):
        length = levels - name.startswith('decoder')
        if len(s[name]) != length:
            raise InputError(f'arch.{name} is {s[name]!r}: {levels} levels of dims need {length} of them')
    step = s['patch_size'] * s['window'] * 2 ** (levels - 1)
    if s['img_size'] % step:
        raise InputError(
            f'img_size {s["img_size"]} does not divide into windows of {s["window"]} on all {levels} levels with '
            f'patch_size {s["patch_size"]}: it must be a multiple of {step}'
        )
    _check_widths(s['dims'], (*s['heads'], *s['decoder_heads']))


def _check_widths(dims: Sequence[int], heads: Sequence[int]) -> None:
    if any(wide != 2 * narrow for narrow, wide in pairwise(dims)):
        raise InputError(f'arch.dims is {tuple(dims)}: each level must be twice as wide as the one before')
    for dim, count in zip((*dims, *dims[-2::-1]), heads, strict=True):
        if dim % count:
            raise InputError(f'arch.heads and arch.decoder_heads: {count} heads do not divide {dim} channels')
