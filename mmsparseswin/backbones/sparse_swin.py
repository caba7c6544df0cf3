"""SparseSwin: Swin stages 1-3 and the SparTa sparse-token stage (docs/models/sparse_swin.md)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmsparseswin.backbones.reading import read_sizes
from mmsparseswin.backbones.sparse_stage_swin import SPARSE, TOKEN_LAYER, SparseStageSwin
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.checkpoints.architecture import Reading
from mmsparseswin.errors import InputError
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

    def __init__(self, arch: str | dict = 'tiny', **options: Any) -> None:
        super().__init__(arch, **options)
        s = self.settings
        if len(s['depths']) != 3 or len(s['num_heads']) != 3:
            raise InputError(f'SparseSwin has three Swin stages; got depths={s["depths"]}, num_heads={s["num_heads"]}')
        self.place_tokens()
        self.build()

    @classmethod
    def read_options(cls, tensors: Mapping[str, Tensor]) -> Reading | None:
        """Read the options off a state dict, see :meth:`read_tokens`."""
        if TOKEN_LAYER not in tensors:
            return None
        return cls.read_tokens(tensors, read_sizes(tensors, stem=False, sparse=SPARSE))
