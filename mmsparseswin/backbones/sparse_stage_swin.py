"""A Swin whose fourth stage may be SparseSwin's sparse tokens."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from mmsparseswin.backbones.options import pick
from mmsparseswin.backbones.reading import SwinSizes, get, read_norms, square_side
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.checkpoints.architecture import Reading, whole_block_counts
from mmsparseswin.checkpoints.resizing import Resizing
from mmsparseswin.errors import InputError
from mmsparseswin.layers.resize import resize_map, resize_sums
from mmsparseswin.layers.sparse_stage import (
    CONVERSION,
    POS_ENCODING,
    TOKEN_RESIZE,
    SparseStage,
    TokensToMapAttention,
    TokensToMapMLP,
)
from mmsparseswin.layers.swin_block import SwinStage

TOKEN_TO_MAP = ('cross_attention', 'mlp')
SPARSE = 3  # the stage of sparse tokens
TOKEN_LAYER = f'stages.{SPARSE}.lin_t.weight'  # which no stage of windows has


class SparseStageSwin(SwinFamily):
    """Base of SparseSwin and ``STViTR(sparta=True)``: three stages, then one of sparse tokens.

    Options and outputs are described at :class:`mmsparseswin.backbones.sparse_swin.SparseSwin`.

    Attributes:
        sparta: True if the fourth stage holds sparse tokens; the arch then has 'num_tokens' and 'token_dims'.
    """

    arch_defaults: dict[str, Any] = {**SwinFamily.arch_defaults, 'token_heads': 16, 'token_depth': 2}
    resizing: Resizing = {
        **SwinFamily.resizing,
        'stages.3.lin_t.weight': (1, resize_sums),
        'stages.3.token_to_map.fc2.weight': (0, resize_map),
        'stages.3.token_to_map.fc2.bias': (0, resize_map),
    }
    sparta = False

    def __init__(
        self,
        arch: str | dict,
        token_resize: str = 'weight',
        token_to_map: str = 'cross_attention',
        pos_encoding: str = 'none',
        token_qkv_bias: bool = True,
        token_conversion: str = 'conv',
        **swin: Any,
    ) -> None:
        super().__init__(arch, **swin)
        self.token_to_map = pick('token_to_map', token_to_map, TOKEN_TO_MAP)
        self.token_options: dict[str, Any] = {
            'token_resize': pick('token_resize', token_resize, TOKEN_RESIZE),
            'pos_encoding': pick('pos_encoding', pos_encoding, POS_ENCODING),
            'conversion': pick('token_conversion', token_conversion, CONVERSION),
            'qkv_bias': token_qkv_bias,
        }

    def place_tokens(self) -> None:
        """Put sparse tokens in the place of the fourth stage; before :meth:`build`."""
        self.sparta = True
        self.optional_parts = ('stages.3.downsample.', 'stages.3.token_to_map.')
        # Published: the schedule of the whole Swin-T, whose last two blocks are not there.
        self.drop_path_blocks = sum(self.depths[:SPARSE]) + 2
        self.depths = (*self.depths[:SPARSE], self.settings['token_depth'])

    @classmethod
    def read_tokens(cls, tensors: Mapping[str, Tensor], sizes: SwinSizes) -> Reading:
        """Read the options off a state dict with sparse tokens: ``img_size`` by the token layer, built for one grid."""
        stage = f'stages.{SPARSE}'
        tokens, cells = get(tensors, TOKEN_LAYER, 2).shape
        separable = f'{stage}.convert.1.weight' in tensors
        conversion = get(tensors, f'{stage}.convert.1.weight' if separable else f'{stage}.convert.weight', 4)
        heads = cls.arch_defaults['token_heads']
        arch = {**sizes.arch(), 'num_tokens': tokens, 'token_dims': conversion.shape[0], 'token_heads': heads}
        arch['token_depth'] = whole_block_counts(tensors).get(SPARSE, 0)
        side = square_side(TOKEN_LAYER, cells)
        options = cls.read_shared(tensors, sizes, arch, sizes.patch_size * 2 ** (SPARSE - 1) * side)
        norms = read_norms(tensors)
        options |= {'token_qkv_bias': f'{stage}.blocks.0.attn.qkv.bias' in tensors}
        options |= {'token_conversion': 'separable'} if separable else {}
        modules = {'mlp': f'{stage}.token_to_map.fc1.weight', 'cross_attention': f'{stage}.token_to_map.q.weight'}
        to_map = next((kind for kind, name in modules.items() if name in tensors), None)
        options |= {'token_to_map': to_map} if to_map else {'out_type': 'avg_featmap'}
        options['out_indices'] = tuple(sorted({*norms, SPARSE})) if norms or not to_map else (0, 1, 2, 3)
        options |= {'output_norm': False} if to_map and not norms else {}
        note = f'{heads} heads in the token blocks: not in the file, the published number'
        return Reading(options, [note], ['pos_encoding and token_resize leave no trace in a file'])

    def _stage_output(self, i: int) -> tuple[int, bool]:
        dims, bare = super()._stage_output(i)
        if not self.sparta or i != SPARSE:
            return dims, bare
        # Tokens are normalised by the stage itself, as published; a map made from them gets its own norm.
        is_map = self.out_type == 'featmap'
        return (dims if is_map and self.token_to_map == 'cross_attention' else self.settings['token_dims']), is_map

    def _make_stage(self, i: int, stage: Callable[..., nn.Module] = SwinStage) -> nn.Module:
        if i != SPARSE or not self.sparta:
            return super()._make_stage(i, stage)
        s = self.settings
        dims, token_dims, heads, tokens = s['embed_dims'] * 4, s['token_dims'], s['token_heads'], s['num_tokens']
        grid = self._grid(SPARSE - 1)
        if grid.height != grid.width:
            raise InputError(f'img_size {s["img_size"]} must be square: it is the size the token layer is built for')
        if token_dims % heads:
            raise InputError(f'token_dims={token_dims} does not divide into token_heads={heads}')
        downsample: nn.Module | None = None
        token_to_map: nn.Module | None = None
        if self.out_type == 'featmap' and self.token_to_map == 'cross_attention':
            downsample = self._make_merging(SPARSE)
            token_to_map = TokensToMapAttention(2 * dims, token_dims, heads)
        elif self.out_type == 'featmap':
            token_to_map = TokensToMapMLP(tokens, token_dims, grid.height)
        return SparseStage(
            dims,
            tokens,
            token_dims,
            heads,
            s['token_depth'],
            grid.height,
            drop=s['drop_rate'],
            attn_drop=s['attn_drop_rate'],
            downsample=downsample,
            token_to_map=token_to_map,
            **self.token_options,
        )

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return depth and number of depths as the base class; the conversion to tokens has its first block's depth."""
        if param_name.startswith((f'{prefix}stages.3.convert.', f'{prefix}stages.3.lin_t.')):
            return super().get_layer_depth(f'{prefix}stages.3.blocks.0', prefix)
        return super().get_layer_depth(param_name, prefix)
