"""Options and construction that Swin and its relatives share."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.backbones.options import check_rate, check_whole, per_stage, pick, pick_arch, pick_stages
from mmsparseswin.backbones.reading import SwinSizes, check_windows, get, name_arch, read_norms, square_side
from mmsparseswin.checkpoints.architecture import Reading
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.patches import MERGING, PatchEmbed
from mmsparseswin.layers.resize import resize_positions
from mmsparseswin.layers.swin_block import SwinBlock, SwinStage


class SwinFamily(TokenBackbone):
    """Backbone of Swin stages, any of which a subclass may replace.

    A subclass takes the options of :class:`mmsparseswin.backbones.swin.Swin` as ``**options`` and passes them on, keeps
    its own, and then calls :meth:`build`. It overrides ``_make_block``, ``_make_stage`` or ``_stage_output`` for what
    differs.

    Attributes:
        settings: the options; for those that are None, what the arch or ``arch_defaults`` says.
        drop_path_blocks: blocks over which stochastic depth grows.
        keep_windows: share of the windows that each stage computes, and ``keep_threshold`` their least score.
    """

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
        arch: str | dict,
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
        keep_windows: float | Sequence[float] | None = None,
        keep_threshold: float | Sequence[float] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, out_type, frozen_stages, norm_eval, init_cfg)
        given = {
            'img_size': img_size,
            'patch_size': patch_size,
            'window_size': window_size,
            'mlp_ratio': mlp_ratio,
            'drop_path_rate': drop_path_rate,
        }
        s = self.settings = {
            **self.arch_defaults,
            **pick_arch(arch, self.arch_zoo, self.arch_required, self.arch_defaults),
            **{name: value for name, value in given.items() if value is not None},
            'qkv_bias': qkv_bias,
            'drop_rate': drop_rate,
            'attn_drop_rate': attn_drop_rate,
            'use_abs_pos_embed': use_abs_pos_embed,
            'patch_merging': pick('patch_merging', patch_merging, tuple(MERGING)),
            'out_indices': out_indices,
            'output_norm': output_norm,
            'with_cp': with_cp,
            'keep_windows': keep_windows,
            'keep_threshold': keep_threshold,
        }
        for name in ('drop_rate', 'attn_drop_rate', 'drop_path_rate'):
            check_rate(name, s[name])
        check_whole('patch_size', s['patch_size'], 1)
        for size in [s['window_size']] if isinstance(s['window_size'], (int, float)) else s['window_size']:
            check_whole('window_size', size, 1)
        self.depths = tuple(s['depths'])
        self.drop_path_blocks = sum(self.depths)
        height, width = (s['img_size'],) * 2 if isinstance(s['img_size'], int) else s['img_size']
        self.pixels = Grid(height, width)  # the size the tables are built for

    @classmethod
    def read_shared(
        cls, tensors: Mapping[str, Tensor], sizes: SwinSizes, arch: dict[str, Any], img_size: int
    ) -> dict[str, Any]:
        """Read the arch and the options that all Swins share off a state dict.

        Args:
            tensors: the state dict, by our names.
            sizes: those of its Swin stages.
            arch: its arch as a dict; replaced by a name that stands for the same.
            img_size: the side that other shapes need; a position embedding goes before.

        Raises:
            InputError: see :meth:`read_options`.
        """
        if 'absolute_pos_embed' in tensors:
            cells = get(tensors, 'absolute_pos_embed', 3).shape[1]
            img_size = square_side('absolute_pos_embed', cells) * sizes.patch_size
        check_windows(sizes, img_size)
        windows = sizes.windows
        name = name_arch(cls.arch_zoo, cls.arch_defaults, arch, windows)
        side_of_windows = windows[0] if len({*windows}) == 1 else windows
        options: dict[str, Any] = {'arch': name, 'img_size': img_size, 'window_size': side_of_windows}
        defaults = {**cls.arch_defaults, 'in_channels': 3, 'qkv_bias': True, 'patch_merging': 'linear'}
        published = {**defaults, **(cls.arch_zoo[name] if isinstance(name, str) else {})}
        merging = [t.dim() for n, t in tensors.items() if n.endswith('.downsample.reduction.weight')]
        read: dict[str, Any] = {
            'in_channels': sizes.in_channels,
            'patch_size': sizes.patch_size,
            'mlp_ratio': get(tensors, 'stages.0.blocks.0.mlp.fc1.weight', 2).shape[0] / sizes.embed_dims,
            'qkv_bias': 'stages.0.blocks.0.attn.qkv.bias' in tensors,
            'patch_merging': 'conv' if 4 in merging else 'linear',
        }
        options |= {key: value for key, value in read.items() if not value == defaults[key] == published[key]}
        return options | ({'use_abs_pos_embed': True} if 'absolute_pos_embed' in tensors else {})

    @classmethod
    def read_windows(
        cls, tensors: Mapping[str, Tensor], sizes: SwinSizes, img_size: int | None = None, found_by: str = ''
    ) -> Reading:
        """Read the options off a state dict without sparse tokens.

        Args:
            tensors: the state dict, by our names.
            sizes: those of its stages.
            img_size: the side that other shapes need; None: the smallest that clips no window.
            found_by: how ``img_size`` was found.
        """
        norms = read_norms(tensors)
        options = cls.read_shared(tensors, sizes, sizes.arch(), img_size or sizes.unclipped)
        options |= {'out_indices': norms or (len(sizes.depths) - 1,)} | ({} if norms else {'output_norm': False})
        found_by = found_by if img_size else 'the smallest that clips no window'
        note = f'img_size {options["img_size"]}: not in the file, {found_by}'
        return Reading(options, [] if 'use_abs_pos_embed' in options else [note])

    def build(self, patch_embed: nn.Module | None = None) -> None:
        """Build what the options say, behind ``patch_embed`` or else patches; the last step of construction."""
        s = self.settings
        self.out_indices = pick_stages(s['out_indices'], self.out_type, len(self.depths))
        check_whole('frozen_stages', self.frozen_stages, -1, len(self.depths))
        if patch_embed is None:
            patch_embed = PatchEmbed(self.in_channels, s['embed_dims'], s['patch_size'], s['norm_eps'])
        self.patch_embed = patch_embed
        self.drop_after_pos = nn.Dropout(s['drop_rate'])
        if s['use_abs_pos_embed']:
            grid = self._grid(0)
            self.absolute_pos_embed = nn.Parameter(torch.empty(1, grid.height * grid.width, s['embed_dims']))
            nn.init.trunc_normal_(self.absolute_pos_embed, std=0.02)
        self.stages = nn.ModuleList(self._make_stage(i) for i in range(self.out_indices[-1] + 1))
        outputs = [self._stage_output(i) for i in self.out_indices]
        norms = [nn.LayerNorm(d, eps=s['norm_eps']) if bare and s['output_norm'] else None for d, bare in outputs]
        strides = [s['patch_size'] * 2**i for i in self.out_indices]
        self.finish([dims for dims, _ in outputs], strides, norms, s['with_cp'])
        self.set_keep_windows(s['keep_windows'], s['keep_threshold'])

    def set_keep_windows(
        self, keep_windows: float | Sequence[float] | None = None, keep_threshold: float | Sequence[float] | None = None
    ) -> None:
        """Choose how many windows each stage computes from now on (docs/sparsity.md); no weight changes.

        Args:
            keep_windows: share of the windows of an image, in (0, 1]; one number for all stages of Swin windows, or one
                for each stage. None or 1: all.
            keep_threshold: least score of a window, as one number or one for each stage; a kept window has both. The
                best window of an image is always kept. None or 0: any.

        Raises:
            InputError: another value, or a number for a stage without Swin windows.
        """
        gated = [getattr(stage, 'leaves_out', False) for stage in self.stages]
        gated += [True] * (len(self.depths) - len(gated))  # stages after the last output are not built
        keep = per_stage('keep_windows', keep_windows, gated, 1.0, (1e-6, 1.0), 'above 0 and up to 1')
        least = per_stage('keep_threshold', keep_threshold, gated, 0.0, (0.0, math.inf), 'of at least 0')
        self.keep_windows, self.keep_threshold = tuple(keep), tuple(least)
        for stage, share, threshold in zip(self.stages, keep, least, strict=False):
            if getattr(stage, 'leaves_out', False):
                stage.keep, stage.threshold = share, threshold  # type: ignore[assignment]

    def _make_stage(self, i: int, stage: Callable[..., nn.Module] = SwinStage) -> nn.Module:
        """Return stage ``i``: ``stage(blocks, downsample=...)``."""
        s, dims, heads = self.settings, self.settings['embed_dims'] * 2**i, self.settings['num_heads'][i]
        if dims % heads:
            raise InputError(f'stage {i}: {dims} channels do not divide into num_heads={heads}')
        options = {
            'dims': dims,
            'num_heads': heads,
            'mlp_ratio': s['mlp_ratio'],
            'qkv_bias': s['qkv_bias'],
            'drop': s['drop_rate'],
            'attn_drop': s['attn_drop_rate'],
            'norm_eps': s['norm_eps'],
        }
        first, last = sum(self.depths[:i]), max(self.drop_path_blocks - 1, 1)
        rates = [s['drop_path_rate'] * (first + j) / last for j in range(self.depths[i])]
        blocks = [self._make_block(i, j, {**options, 'drop_path': rate}) for j, rate in enumerate(rates)]
        return stage(blocks, downsample=self._make_merging(i) if i else None)

    def _make_block(self, i: int, j: int, options: dict[str, Any]) -> nn.Module:
        """Return block ``j`` of stage ``i``."""
        return SwinBlock(window=(self._window(i),) * 2, shift=j % 2 == 1, **options)

    def _make_merging(self, i: int) -> nn.Module:
        """Return the module that makes the grid of stage ``i`` from the grid of the stage before."""
        dims = self.settings['embed_dims'] * 2**i
        return MERGING[self.settings['patch_merging']](dims // 2, dims, self.settings['norm_eps'])

    def _stage_output(self, i: int) -> tuple[int, bool]:
        """Return the channels of stage ``i``'s output, and True if it takes an output norm."""
        return self.settings['embed_dims'] * 2**i, True

    def _grid(self, i: int) -> Grid:
        """Return the grid of stage ``i`` at the size the tables are built for."""
        return self.pixels.coarser(self.settings['patch_size'] * 2**i)

    def _window(self, i: int) -> int:
        """Return the side of a window of stage ``i``, clipped to its grid as published."""
        sizes, grid = self.settings['window_size'], self._grid(i)
        return min(sizes if isinstance(sizes, int) else sizes[i], grid.height, grid.width)

    def _embed(self, image: Tensor, pixels: Grid) -> tuple[Tensor, Grid]:
        x, grid = self.patch_embed(image, pixels)
        if self.absolute_pos_embed is not None:
            built = self._grid(0)
            x = x + resize_positions(self.absolute_pos_embed, (built.height, built.width), grid)
        return self.drop_after_pos(x), grid
