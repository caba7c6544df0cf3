"""Swin Transformer: shifted-window attention in four stages (arXiv 2103.14030)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.backbones.options import OUT_TYPES, pick, pick_arch, pick_stages, reject_unknown
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import MERGING, PatchEmbed
from mmsparseswin.layers.resize import resize_positions
from mmsparseswin.layers.swin_block import SwinBlock, SwinStage
from mmsparseswin.registry import register_backbone


@register_backbone
class Swin(TokenBackbone):
    """Swin, for classification and detection with the same parameter names.

    Args:
        arch: a name of ``arch_zoo``, or a dict with 'embed_dims', 'depths', 'num_heads' and any key of
            ``arch_defaults``.
        img_size: side (or height and width) the tables are built for; windows larger than a stage's grid at this size
            are clipped to it, as published. Any other size can be given to ``forward``.
        in_channels: channels of the image.
        patch_size: side of a patch, in pixels.
        window_size: side of a window, or one per stage (S3).
        mlp_ratio: hidden channels of the MLPs over their width.
        qkv_bias: bias on queries, keys and values.
        drop_rate: dropout after the patch embedding and in blocks.
        attn_drop_rate: dropout on attention weights.
        drop_path_rate: stochastic depth of the last block, growing linearly from 0.
        use_abs_pos_embed: add a learned position embedding, resized to the grid at hand.
        patch_merging: 'linear' (reference: layer norm of the four neighbours joined, linear) or 'conv' (layer norm of
            each, 2x2 convolution, odd borders dropped). Weights of the one are a start for the other.
        out_indices: stages to return, ascending; stages after the last one are not built. None: all for 'featmap', else
            the last.
        out_type: 'featmap' (B, C, H, W) maps, 'avg_featmap' (B, C) pooled, 'raw' (B, N, C) tokens.
        output_norm: layer norm on each output.
        frozen_stages: -1 nothing, 0 the patch embedding, k that and the first k stages.
        norm_eval: keep batch norms in eval mode while training (Swin itself has none).
        with_cp: gradient checkpointing, of whole blocks or 'light' (see :meth:`set_grad_checkpointing`).
        init_cfg: mmengine's; ``dict(type='Pretrained', checkpoint=...)`` takes weights of any known source.

    Raises:
        InputError: an option or a value that does not exist; the message lists what does.
    """

    # fmt: off
    arch_zoo: dict[str, dict[str, Any]] = {
        'tiny':     dict(embed_dims=96,  depths=(2, 2, 6, 2),  num_heads=(3, 6, 12, 24), drop_path_rate=0.2),
        'small':    dict(embed_dims=96,  depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), drop_path_rate=0.3),
        'base':     dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), drop_path_rate=0.5),
        'large':    dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), drop_path_rate=0.2),
        's3-tiny':  dict(embed_dims=96,  depths=(2, 2, 6, 2),  num_heads=(3, 6, 12, 24), window_size=(7, 7, 14, 7)),
        's3-small': dict(embed_dims=96,  depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window_size=(14, 14, 14, 7)),
        's3-base':  dict(embed_dims=96,  depths=(2, 2, 30, 2), num_heads=(3, 6, 12, 24), window_size=(7, 7, 14, 7)),
        # SwinViT on CIFAR-10 (docs/models/swin.md, 'SwinViT')
        'cifar':    dict(embed_dims=96,  depths=(2, 6, 4),     num_heads=(3, 6, 12), window_size=4, mlp_ratio=2.0,
                         img_size=32, patch_size=2, norm_eps=1e-6),
    }
    # fmt: on
    arch_required: tuple[str, ...] = ('embed_dims', 'depths', 'num_heads')
    arch_defaults: dict[str, Any] = {
        'img_size': 224,
        'patch_size': 4,
        'window_size': 7,
        'mlp_ratio': 4.0,
        'drop_path_rate': 0.1,
        'norm_eps': 1e-5,
    }

    def __init__(
        self,
        arch: str | dict = 'tiny',
        img_size: int | tuple[int, int] | None = None,
        in_channels: int = 3,
        patch_size: int | None = None,
        window_size: int | Sequence[int] | None = None,
        mlp_ratio: float | None = None,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float | None = None,
        use_abs_pos_embed: bool = False,
        patch_merging: str = 'linear',
        out_indices: Sequence[int] | None = None,
        out_type: str = 'featmap',
        output_norm: bool = True,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool | str = False,
        init_cfg: dict | None = None,
        **unknown: Any,
    ) -> None:
        reject_unknown(type(self), unknown)
        super().__init__(init_cfg=init_cfg)
        given = {
            'img_size': img_size,
            'patch_size': patch_size,
            'window_size': window_size,
            'mlp_ratio': mlp_ratio,
            'drop_path_rate': drop_path_rate,
        }
        self.settings = {
            **self.arch_defaults,
            **pick_arch(arch, self.arch_zoo, self.arch_required, self.arch_defaults),
            **{name: value for name, value in given.items() if value is not None},
        }
        self.in_channels, self.qkv_bias = in_channels, qkv_bias
        self.drop_rate, self.attn_drop_rate = drop_rate, attn_drop_rate
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.patch_merging = pick('patch_merging', patch_merging, tuple(MERGING))
        self.out_type = pick('out_type', out_type, OUT_TYPES)
        self.depths = self._stage_depths()
        self.out_indices = pick_stages(out_indices, self.out_type, len(self.depths))
        self._build(use_abs_pos_embed, output_norm)
        self.set_grad_checkpointing(with_cp)

    def _stage_depths(self) -> tuple[int, ...]:
        return tuple(self.settings['depths'])

    def _stage_dims(self) -> list[int]:
        return [self.settings['embed_dims'] * 2**i for i in range(len(self.depths))]

    def _build(self, use_abs_pos_embed: bool, output_norm: bool) -> None:
        s = self.settings
        dims, patch, eps = s['embed_dims'], s['patch_size'], s['norm_eps']
        height, width = (s['img_size'],) * 2 if isinstance(s['img_size'], int) else s['img_size']
        self.pixels = Grid(height, width)  # the size the tables are built for
        self.patch_embed = self._make_patch_embed()
        self.drop_after_pos = nn.Dropout(self.drop_rate)
        self.absolute_pos_embed = None
        if use_abs_pos_embed:
            grid = self.pixels.coarser(patch)
            self.absolute_pos_embed = nn.Parameter(torch.empty(1, grid.height * grid.width, dims))
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        self.stages = nn.ModuleList(self._make_stage(i) for i in range(self.out_indices[-1] + 1))
        stage_dims = self._stage_dims()
        norms = [
            nn.LayerNorm(stage_dims[i], eps=eps) if self._has_norm(i, output_norm) else None for i in self.out_indices
        ]
        self._finish(stage_dims, [patch * 2**i for i in range(len(stage_dims))], norms)

    def _make_patch_embed(self) -> nn.Module:
        s = self.settings
        return PatchEmbed(self.in_channels, s['embed_dims'], s['patch_size'], s['norm_eps'])

    def _has_norm(self, stage: int, output_norm: bool) -> bool:
        return output_norm

    def _make_stage(self, i: int) -> nn.Module:
        s = self.settings
        dims, heads = self._widths(i)
        if dims % heads:
            raise InputError(f'stage {i}: {dims} channels do not divide into num_heads={heads}')
        options = {
            'mlp_ratio': s['mlp_ratio'],
            'qkv_bias': self.qkv_bias,
            'drop': self.drop_rate,
            'attn_drop': self.attn_drop_rate,
            'norm_eps': s['norm_eps'],
        }
        rates = self._drop_path_rates()[sum(self.depths[:i]) :]
        blocks = [self._make_block(i, j, options | {'drop_path': rates[j]}) for j in range(self.depths[i])]
        return self._join(i, blocks, self._make_merging(i) if i else None)

    def _make_merging(self, i: int) -> nn.Module:
        """What makes the grid of stage ``i`` from that of the stage before."""
        dims = self.settings['embed_dims'] * 2**i
        return MERGING[self.patch_merging](dims // 2, dims, self.settings['norm_eps'])

    def _make_block(self, i: int, j: int, options: dict[str, Any]) -> nn.Module:
        """Block ``j`` of stage ``i``."""
        window = (self._window(i),) * 2
        return SwinBlock(*self._widths(i), window, shift=j % 2 == 1, **options)

    def _join(self, i: int, blocks: list[nn.Module], downsample: nn.Module | None) -> nn.Module:
        """Stage ``i`` of these blocks."""
        return SwinStage(blocks, downsample)

    def _widths(self, i: int) -> tuple[int, int]:
        """Channels and heads of stage ``i``."""
        return self.settings['embed_dims'] * 2**i, self.settings['num_heads'][i]

    def _grid(self, i: int) -> Grid:
        """The grid of stage ``i`` at the size the tables are built for."""
        return self.pixels.coarser(self.settings['patch_size'] * 2**i)

    def _window(self, i: int) -> int:
        sizes, grid = self.settings['window_size'], self._grid(i)
        return min(sizes if isinstance(sizes, int) else sizes[i], grid.height, grid.width)

    def _drop_path_rates(self) -> list[float]:
        return linear_rates(self.settings['drop_path_rate'], sum(self.depths))

    def _embed(self, image: Tensor, pixels: Grid) -> tuple[Tensor, Grid]:
        x, grid = self.patch_embed(image, pixels)
        if self.absolute_pos_embed is not None:
            built = self.pixels.coarser(self.settings['patch_size'])
            x = x + resize_positions(self.absolute_pos_embed, (built.height, built.width), grid)
        return self.drop_after_pos(x), grid


def linear_rates(last: float, count: int) -> list[float]:
    """``count`` rates from 0 to ``last``."""
    return [last * i / max(count - 1, 1) for i in range(count)]
