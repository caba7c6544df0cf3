"""SparseSwin: Swin stages 1-3 and the SparTa sparse-token stage (docs/models/sparse_swin.md)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmsparseswin.backbones.reading import read_sizes
from mmsparseswin.backbones.sparse_stage_swin import SPARSE, TOKEN_LAYER, SparseStageSwin
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.checkpoints.architecture import Reading
from mmsparseswin.errors import InputError
from mmsparseswin.layers.patches import PatchEmbed
from mmsparseswin.registry import register_backbone

# fmt: off
_SWIN_T: dict[str, Any] = dict(embed_dims=96,  depths=(2, 2, 6),  num_heads=(3, 6, 12), drop_path_rate=0.2)
_SWIN_S: dict[str, Any] = dict(embed_dims=96,  depths=(2, 2, 18), num_heads=(3, 6, 12), drop_path_rate=0.3)
_SWIN_B: dict[str, Any] = dict(embed_dims=128, depths=(2, 2, 18), num_heads=(4, 8, 16), drop_path_rate=0.5)
# fmt: on


@register_backbone
class SparseSwin(SparseStageSwin):
    """SparseSwin, for classification and detection with the same parameter names.

    Three Swin stages; the stride-16 map then becomes a fixed number of tokens. For ``out_type='featmap'`` the fourth
    output is a stride-32 map recovered from them; 'avg_featmap' pools the tokens (the published classifier), 'raw'
    returns them.

    Args:
        arch: a name of ``arch_zoo``, or a dict with 'embed_dims', three 'depths'
            and 'num_heads', 'num_tokens', 'token_dims', and any other key found there.
        token_resize: 'weight', 'feature' or 'tile', see :class:`mmsparseswin.layers.sparse_stage.SparseStage`.
        token_to_map: 'cross_attention' (ours: image queries, token keys) or 'mlp' (published, blind to the image).
        pos_encoding: 'none', or 'sincos1d' as in the published dense encoder.
        token_qkv_bias: bias on the token blocks' queries, keys and values (published: True in the classifier, False in
            the dense encoder).
        token_conversion: 'conv' (published 3x3) or 'separable' (lighter, for training from scratch).
        img_size: side the token layer is built for, so it must be square; any other size given to ``forward`` reaches
            the tokens as ``token_resize`` says.

    All other options are those of :class:`mmsparseswin.backbones.swin.Swin`.
    """

    # fmt: off
    arch_zoo: dict[str, dict[str, Any]] = {
        # Published: every size stands on stages 1-3 of Swin-T (docs/models/sparse_swin.md, 'Sizes').
        'tiny':       dict(_SWIN_T, num_tokens=49, token_dims=512),
        'small':      dict(_SWIN_T, num_tokens=64, token_dims=768),
        'base':       dict(_SWIN_T, num_tokens=81, token_dims=1024),
        # Ours: on Swin-S and Swin-B, names that the published code has and refuses.
        'swin-small': dict(_SWIN_S, num_tokens=64, token_dims=768),
        'swin-base':  dict(_SWIN_B, num_tokens=81, token_dims=1024),
    }
    # fmt: on
    arch_required = (*SwinFamily.arch_required, 'num_tokens', 'token_dims')

    def __init__(
        self,
        arch: str | dict = 'tiny',
        token_resize: str = 'weight',
        token_to_map: str = 'cross_attention',
        pos_encoding: str = 'none',
        token_qkv_bias: bool = True,
        token_conversion: str = 'conv',
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
    ) -> None:
        # fmt: off
        super().__init__(
            arch=arch, img_size=img_size, in_channels=in_channels, patch_size=patch_size, window_size=window_size,
            mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, drop_rate=drop_rate, attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate, patch_merging=patch_merging, out_type=out_type,
            frozen_stages=frozen_stages, norm_eval=norm_eval, init_cfg=init_cfg,
        )
        # fmt: on
        s = self.settings
        if len(s['depths']) != 3 or len(s['num_heads']) != 3:
            raise InputError(f'SparseSwin has three Swin stages; got depths={s["depths"]}, num_heads={s["num_heads"]}')
        self.set_tokens(True, token_resize, token_to_map, pos_encoding, token_qkv_bias, token_conversion)
        patch_embed = PatchEmbed(in_channels, s['embed_dims'], s['patch_size'], s['norm_eps'])
        self.build(patch_embed, out_indices, use_abs_pos_embed, output_norm, with_cp)

    @classmethod
    def read_options(cls, tensors: Mapping[str, Tensor]) -> Reading | None:
        """Read the options off a state dict, see :meth:`read_tokens`."""
        if TOKEN_LAYER not in tensors:
            return None
        return cls.read_tokens(tensors, read_sizes(tensors, stem=False, sparse=SPARSE))
