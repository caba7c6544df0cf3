"""SparseSwin: Swin stages 1-3 and the SparTa sparse-token stage (spec sparseswin_stvit.md, A and B)."""

from typing import Any

from torch import nn

from mmsparseswin.backbones.base import pick
from mmsparseswin.backbones.swin import Swin, linear_rates
from mmsparseswin.errors import InputError
from mmsparseswin.layers.patches import PatchMerging
from mmsparseswin.layers.sparta import (
    CONVERSION,
    POS_ENCODING,
    TOKEN_RESIZE,
    SparseStage,
    TokensToMapAttention,
    TokensToMapMLP,
)
from mmsparseswin.registry import MODELS, ROOT_MODELS

# fmt: off
_SWIN_T: dict[str, Any] = dict(embed_dims=96,  depths=(2, 2, 6),  num_heads=(3, 6, 12), drop_path_rate=0.2)
_SWIN_S: dict[str, Any] = dict(embed_dims=96,  depths=(2, 2, 18), num_heads=(3, 6, 12), drop_path_rate=0.3)
_SWIN_B: dict[str, Any] = dict(embed_dims=128, depths=(2, 2, 18), num_heads=(4, 8, 16), drop_path_rate=0.5)
# fmt: on

TOKEN_TO_MAP = ('cross_attention', 'mlp')


@ROOT_MODELS.register_module()
@MODELS.register_module()
class SparseSwin(Swin):
    """SparseSwin, for classification and detection with the same parameter names.

    Three Swin stages; the stride-16 map then becomes a fixed number of tokens. For ``out_type='featmap'`` the fourth
    output is a stride-32 map recovered from them; 'avg_featmap' pools the tokens (the published classifier), 'raw'
    returns them.

    Args:
        arch: a name of ``arch_zoo``, or a dict with 'embed_dims', three 'depths'
            and 'num_heads', 'num_tokens', 'token_dims', and any other key found there.
        token_resize: 'weight', 'feature' or 'tile', see :class:`mmsparseswin.layers.sparta.SparseStage`.
        token_to_map: 'cross_attention' (ours: image queries, token keys) or 'mlp' (published, blind to the image).
        pos_encoding: 'none', or 'sincos1d' as in the published dense encoder.
        token_qkv_bias: bias on the token blocks' queries, keys and values (published: True in the classifier, False in
            the dense encoder).
        token_conversion: 'conv' (published 3x3) or 'separable' (lighter, for training from scratch).
        **swin: every option of :class:`Swin`. ``img_size`` must be square: the token layer is built for it, and any
            other size given to ``forward`` reaches the tokens as ``token_resize`` says.
    """

    # fmt: off
    arch_zoo: dict[str, dict[str, Any]] = {
        # Published: every size stands on stages 1-3 of Swin-T (spec A4).
        'tiny':       dict(_SWIN_T, num_tokens=49, token_dims=512),
        'small':      dict(_SWIN_T, num_tokens=64, token_dims=768),
        'base':       dict(_SWIN_T, num_tokens=81, token_dims=1024),
        # Ours: on Swin-S and Swin-B, names that the published code has and refuses.
        'swin-small': dict(_SWIN_S, num_tokens=64, token_dims=768),
        'swin-base':  dict(_SWIN_B, num_tokens=81, token_dims=1024),
    }
    # fmt: on
    arch_required = (*Swin.arch_required, 'num_tokens', 'token_dims')
    arch_defaults: dict[str, Any] = {**Swin.arch_defaults, 'token_heads': 16, 'token_depth': 2}

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
        s = self.settings
        if len(s['depths']) != 3 or len(s['num_heads']) != 3:
            raise InputError(f'SparseSwin has three Swin stages; got depths={s["depths"]}, num_heads={s["num_heads"]}')
        return (*s['depths'], s['token_depth'])

    def _stage_dims(self) -> list[int]:
        dims = super()._stage_dims()
        if self.out_type != 'featmap' or self.token_to_map == 'mlp':
            dims[3] = self.settings['token_dims']
        return dims

    def _has_norm(self, stage: int, output_norm: bool) -> bool:
        # Tokens are normalised by the stage itself, as published; a map made from them gets its own norm.
        return output_norm and (stage < 3 or self.out_type == 'featmap')

    def _drop_path_rates(self) -> list[float]:
        # Published: the schedule of the whole Swin-T, whose last two blocks are not there.
        return linear_rates(self.settings['drop_path_rate'], sum(self.depths[:3]) + 2)

    def _make_stage(self, i: int) -> nn.Module:
        if i < 3:
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
            downsample = PatchMerging(dims, 2 * dims, s['norm_eps'])
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
