"""A Swin whose fourth stage may be SparseSwin's sparse tokens."""

from typing import Any

from torch import nn

from mmsparseswin.backbones.options import pick
from mmsparseswin.backbones.swin import Swin, linear_rates
from mmsparseswin.errors import InputError
from mmsparseswin.layers.sparse_stage import (
    CONVERSION,
    POS_ENCODING,
    TOKEN_RESIZE,
    SparseStage,
    TokensToMapAttention,
    TokensToMapMLP,
)

TOKEN_TO_MAP = ('cross_attention', 'mlp')
_SPARSE = 3  # the stage of sparse tokens


class SparseStageSwin(Swin):
    """What SparseSwin and ``STViTR(sparta=True)`` share: three stages, then one of sparse tokens.

    Options and outputs are described at :class:`mmsparseswin.backbones.sparse_swin.SparseSwin`.

    Attributes:
        sparta: whether the fourth stage is that; the arch then holds 'num_tokens' and 'token_dims'.
    """

    arch_defaults: dict[str, Any] = {**Swin.arch_defaults, 'token_heads': 16, 'token_depth': 2}
    sparta: bool = True

    def __init__(
        self,
        arch: str | dict = 'tiny',
        token_resize: str = 'weight',
        token_to_map: str = 'cross_attention',
        pos_encoding: str = 'none',
        token_qkv_bias: bool = True,
        token_conversion: str = 'conv',
        **swin: Any,
    ) -> None:
        # Plain values, which a module may hold before it is initialised; the base class builds from them.
        self.token_to_map = pick('token_to_map', token_to_map, TOKEN_TO_MAP)
        self.token_options: dict[str, Any] = {
            'token_resize': pick('token_resize', token_resize, TOKEN_RESIZE),
            'pos_encoding': pick('pos_encoding', pos_encoding, POS_ENCODING),
            'conversion': pick('token_conversion', token_conversion, CONVERSION),
            'qkv_bias': token_qkv_bias,
        }
        super().__init__(arch, **swin)

    def _stage_depths(self) -> tuple[int, ...]:
        depths = super()._stage_depths()
        return (*depths[:_SPARSE], self.settings['token_depth']) if self.sparta else depths

    def _stage_dims(self) -> list[int]:
        dims = super()._stage_dims()
        if self.sparta and (self.out_type != 'featmap' or self.token_to_map == 'mlp'):
            dims[_SPARSE] = self.settings['token_dims']
        return dims

    def _has_norm(self, stage: int, output_norm: bool) -> bool:
        # Tokens are normalised by the stage itself, as published; a map made from them gets its own norm.
        return output_norm and not (self.sparta and stage == _SPARSE and self.out_type != 'featmap')

    def _drop_path_rates(self) -> list[float]:
        # Published: the schedule of the whole Swin-T, whose last two blocks are not there.
        count = sum(self.depths[:_SPARSE]) + 2
        return linear_rates(self.settings['drop_path_rate'], count) if self.sparta else super()._drop_path_rates()

    def _make_stage(self, i: int) -> nn.Module:
        if i != _SPARSE or not self.sparta:
            return super()._make_stage(i)
        s = self.settings
        dims, token_dims, heads, tokens = s['embed_dims'] * 4, s['token_dims'], s['token_heads'], s['num_tokens']
        grid = self.pixels.coarser(s['patch_size'] * 4)
        if grid.height != grid.width:
            raise InputError(f'img_size {s["img_size"]} must be square: it is the size the token layer is built for')
        if token_dims % heads:
            raise InputError(f'token_dims={token_dims} does not divide into token_heads={heads}')
        downsample: nn.Module | None = None
        token_to_map: nn.Module | None = None
        if self.out_type == 'featmap' and self.token_to_map == 'cross_attention':
            downsample = self._make_merging(_SPARSE)
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
            drop=self.drop_rate,
            attn_drop=self.attn_drop_rate,
            downsample=downsample,
            token_to_map=token_to_map,
            **self.token_options,
        )
