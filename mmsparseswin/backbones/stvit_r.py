"""STViT-R backbone: a Swin whose third stage runs on semantic tokens (CVPR 2023, docs/models/stvit_r.md)."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmsparseswin.backbones.options import pick
from mmsparseswin.backbones.reading import (
    SwinSizes,
    get,
    read_sizes,
    square_side,
    table_side,
)
from mmsparseswin.backbones.sparse_stage_swin import SPARSE, TOKEN_LAYER, SparseStageSwin
from mmsparseswin.checkpoints import LoadReport
from mmsparseswin.checkpoints.architecture import Reading, block_counts
from mmsparseswin.errors import InputError
from mmsparseswin.layers.neighbourhoods import MASKS, PRESETS
from mmsparseswin.layers.patches import ConvStem
from mmsparseswin.layers.semantic_tokens import UNIT, SemanticBlock, SemanticStage, TokenGeneration
from mmsparseswin.layers.swin_block import SwinBlock, SwinStage
from mmsparseswin.layers.token_pooling import POOLING
from mmsparseswin.registry import register_backbone

SEMANTIC = 2  # the stage of semantic tokens
_TRACE = f'stages.{SEMANTIC}.blocks.1.attn.kv.weight'  # which no other backbone has


@register_backbone
class STViTR(SparseStageSwin):
    """STViT-R-Swin, for classification and detection with the same parameter names.

    A convolutional stem instead of the patch embedding; Swin stages 1, 2 and 4; stage 3 made of dumbbell units
    (:mod:`mmsparseswin.layers.semantic_tokens`). Blocks keep their published numbers: ``stages.2.blocks.{i}`` is a Swin
    block where ``i % 6 == 0`` and holds ``norm1``, ``attn.q``, ``attn.kv``, ``attn.proj``, ``norm2``, ``mlp.fc1``,
    ``mlp.fc2``, ``layer_scale_1`` and ``layer_scale_2`` elsewhere. The stem is ``patch_embed.conv1``, ``bn1``,
    ``conv2``, ``bn2``.

    Args:
        arch: a name of ``arch_zoo``, or a dict with 'embed_dims', 'depths' (the third a multiple of 6), 'num_heads' and
            any key of ``arch_defaults``.
        preset: 'cls', the published classifier, or 'det', the published detector. They share names and shapes, but
            differ in whom semantic tokens look at, so weights of one need training in the other.
        masks: 'exact': padding never changes a semantic token. 'official': the published detector's masks, for weights
            that were trained with them; the published classifier has none.
        tokens_per_window: side of a window's semantic tokens: 2, 3 (published) or 4.
        use_global: one learned token per place, added to the semantic tokens in block 2.
        use_conv_pos: a depth-wise convolution over the pooled tokens of each window in blocks 1, 7, ...
        relative_pos: relative position bias among the semantic tokens.
        shortcut: keep the pooled tokens in block 1 of the 'cls' preset; 'det' always does.
        layer_scale: initial scale of the branches around semantic tokens. Published: 1e-5.
        pooling: 'max' (published) or 'learned', a weighted mean.
        global_keys: bound the blocks that see whole maps (4; with 'cls' also 2 and 5), whose cost else grows with the
            square of the image area: a map of more tokens than this is pooled for them
            (:mod:`mmsparseswin.layers.pooled_keys`; same parameters, same result up to that size). None: never. What it
            saves at which size is in docs/flops.md.
        sparta: SparseSwin's sparse tokens in place of the Swin stage 4, 'num_tokens' of 'token_dims' channels as the
            arch says; options ``token_*`` and ``pos_encoding`` and a square ``img_size`` as of :class:`SparseSwin`.

    All other options are those of :class:`mmsparseswin.backbones.swin.Swin`.
    """

    # fmt: off
    arch_zoo: dict[str, dict[str, Any]] = {
        'tiny':  dict(embed_dims=96,  depths=(2, 2, 6, 2),  num_heads=(3, 6, 12, 24), drop_path_rate=0.2,  # ours
                      num_tokens=49, token_dims=512),
        'small': dict(embed_dims=96,  depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), drop_path_rate=0.3,
                      num_tokens=64, token_dims=768),
        'base':  dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), drop_path_rate=0.4,
                      num_tokens=81, token_dims=1024),
    }
    # fmt: on
    arch_defaults: dict[str, Any] = {**SparseStageSwin.arch_defaults, 'num_tokens': 49, 'token_dims': 512}

    def __init__(
        self,
        arch: str | dict = 'tiny',
        preset: str = 'cls',
        masks: str = 'exact',
        tokens_per_window: int = 3,
        use_global: bool = False,
        use_conv_pos: bool = False,
        relative_pos: bool = False,
        shortcut: bool = False,
        layer_scale: float = 1e-5,
        pooling: str = 'max',
        global_keys: int | None = None,
        sparta: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(arch, **options)
        if self.settings['patch_size'] != ConvStem.patch_size:
            raise InputError(f'patch_size {self.settings["patch_size"]}: the convolutional stem has a stride of 4')
        depths = self.depths
        if len(depths) <= SEMANTIC or depths[SEMANTIC] % UNIT:
            raise InputError(f'depths {depths}: the third must be there and a multiple of {UNIT}, the blocks of a unit')
        self.preset, self.masks = pick('preset', preset, PRESETS), pick('masks', masks, MASKS)
        self.pooling = pick('pooling', pooling, POOLING)
        if tokens_per_window not in (2, 3, 4):
            raise InputError(f'tokens_per_window {tokens_per_window} is unknown; choose one of [2, 3, 4]')
        self.tokens_per_window, self.layer_scale = tokens_per_window, layer_scale
        self.use_global, self.use_conv_pos, self.relative_pos = use_global, use_conv_pos, relative_pos
        self.shortcut = shortcut or preset == 'det'
        if global_keys is not None and (global_keys < 1 or relative_pos):
            raise InputError(
                f'global_keys={global_keys}, relative_pos={relative_pos}: take a positive number or None, and None '
                'with relative_pos, because pooled keys have no single position'
            )
        self.global_keys = global_keys
        if sparta:
            self.place_tokens()
        self.build(ConvStem(self.in_channels, self.settings['embed_dims']))

    @classmethod
    def models(cls) -> dict[str, dict[str, Any]]:
        """Return the published classifiers and detectors, and ours with sparse tokens."""
        kinds: dict[str, dict[str, Any]] = {'': {}, 'det-': {'preset': 'det'}, 'sparta-': {'sparta': True}}
        return {f'stvitr-{kind}{arch}': {'arch': arch, **more} for kind, more in kinds.items() for arch in cls.arch_zoo}

    @classmethod
    def read_options(cls, tensors: Mapping[str, Tensor]) -> Reading | None:
        """Read the options off a state dict.

        A file does not tell ``img_size``. A position embedding does, else SparseSwin's token layer, else the grid of
        semantic tokens (``use_global``, ``relative_pos``), taken as whole windows; else it is the smallest that clips
        no window.
        """
        if _TRACE not in tensors and 'patch_embed.conv1.weight' not in tensors:
            return None
        sparse = TOKEN_LAYER in tensors
        sizes = read_sizes(tensors, stem=True, sparse=SPARSE if sparse else None)
        if len(sizes.depths) <= SEMANTIC:
            raise InputError(f'{_TRACE} is missing: the weights are incomplete')
        semantic, img_size = cls._read_semantic(tensors, sizes)
        if sparse:
            reading = cls.read_tokens(tensors, sizes)
            reading.options['sparta'] = True
        else:
            reading = cls.read_windows(tensors, sizes, img_size, 'whole windows of semantic tokens')
        reading.options |= semantic
        reading.untraced.append('preset, masks, shortcut and, without tables, tokens_per_window leave no trace')
        return reading

    @classmethod
    def _read_semantic(cls, tensors: Mapping[str, Tensor], sizes: SwinSizes) -> tuple[dict[str, Any], int | None]:
        """Return the options of semantic tokens that leave a trace, and the image side that their grid tells."""
        stage, window = f'stages.{SEMANTIC}.blocks', sizes.windows[SEMANTIC]
        options: dict[str, Any] = {}
        grid: int | None = None
        if (name := f'{stage}.2.global_tokens') in tensors:
            options['use_global'] = True
            grid = square_side(name, get(tensors, name, 3).shape[1])
        if f'{stage}.1.conv_pos.weight' in tensors:
            options['use_conv_pos'] = True
        if f'{stage}.1.pool.logit.weight' in tensors:
            options['pooling'] = 'learned'
        if (name := f'{stage}.3.attn.relative_position_bias_table') in tensors:
            # One token per window is what a window of one cell leaves of two.
            tokens = max(table_side(f'{stage}.3', get(tensors, name, 2)), 2)
            options |= {'relative_pos': True, 'tokens_per_window': tokens}
            name = f'{stage}.4.attn.relative_position_bias_table'
            grid = table_side(f'{stage}.4', get(tensors, name, 2))
        elif grid is not None:
            tokens = next((side for side in (3, 4, 2) if grid % min(side, window) == 0), 3)
            options |= {} if tokens == 3 else {'tokens_per_window': tokens}
        if grid is None:
            return options, None
        return options, sizes.patch_size * 2**SEMANTIC * window * -(-grid // min(tokens, window))

    def adapt_weights(self, tensors: Mapping[str, Tensor], report: LoadReport) -> Mapping[str, Tensor]:
        """Start from a Swin's tensors, semantic blocks included (docs/models/stvit_r.md, 'Weights')."""
        if _TRACE in tensors:
            return tensors
        result: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            block = re.fullmatch(
                rf'stages\.{SEMANTIC}\.blocks\.(\d+)\.attn\.(qkv\..+|relative_position_bias_table)', name
            )
            if name.startswith('patch_embed.'):
                report.dropped[name] = 'STViT-R has a convolutional stem'
            elif block is None or int(block[1]) % UNIT == 0:
                result[name] = tensor
            elif block[2].startswith('qkv'):
                width = len(tensor) // 3
                result[name.replace('.qkv.', '.q.')] = tensor[:width]
                result[name.replace('.qkv.', '.kv.')] = tensor[width:]
            else:
                report.dropped[name] = 'no such windows among semantic tokens'
        if block_counts(tensors).get(SEMANTIC) == self.depths[SEMANTIC]:
            # Layer scale 1e-5 suits untrained blocks; pretrained blocks need 1.
            scales = {name: torch.ones_like(t) for name, t in self.state_dict().items() if '.layer_scale_' in name}
            result |= scales
            report.notes.append(f'{len(scales)} layer scales set to 1, as no Swin has them')
        return result

    def _make_block(self, i: int, j: int, options: dict[str, Any]) -> nn.Module:
        role = j % UNIT
        if i != SEMANTIC or role == 0:
            # The published detector shifts and masks even a single window.
            single = self.preset == 'det' and self.masks == 'official'
            shift = i != SEMANTIC and j % 2 == 1
            return SwinBlock(window=(self._window(i),) * 2, shift=shift, shift_single=single, **options)
        options = options | {'layer_scale': self.layer_scale}
        if role == 1:
            options |= {'pooling': self.pooling, 'conv_pos': self.use_conv_pos, 'shortcut': self.shortcut}
            return TokenGeneration(see_seeds=self.preset == 'cls', **options)
        if self.relative_pos and role in (3, 4):
            options['bias_side'] = (self._tokens(),) * 2 if role == 3 else self._token_grid()
        if self.use_global and j == 2:  # in the first unit only, as published
            options['global_side'] = self._token_grid()
        return SemanticBlock(**options)

    def _make_stage(self, i: int, stage: Callable[..., nn.Module] = SwinStage) -> nn.Module:
        if i == SEMANTIC:
            plan = partial(SemanticStage, window=self._window(i), tokens=self._tokens(), global_keys=self.global_keys)
            stage = partial(plan, preset=self.preset, masks=self.masks)
        return super()._make_stage(i, stage)

    def _tokens(self) -> int:
        """Side of a window's semantic tokens; clipped as the window is."""
        return min(self.tokens_per_window, self._window(SEMANTIC))

    def _token_grid(self) -> tuple[int, int]:
        """All semantic tokens at ``img_size``."""
        grid, window, tokens = self._grid(SEMANTIC), self._window(SEMANTIC), self._tokens()
        return -(-grid.height // window) * tokens, -(-grid.width // window) * tokens
