"""Swin Transformer: shifted-window attention in four stages (arXiv 2103.14030)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmsparseswin.backbones.reading import read_sizes
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.checkpoints.architecture import Reading
from mmsparseswin.registry import register_backbone


@register_backbone
class Swin(SwinFamily):
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
        keep_windows: share of its windows that a stage computes, in (0, 1], or one per stage; the others keep their
            residual (docs/sparsity.md). None: all. :meth:`set_keep_windows` changes it later.
        keep_threshold: least score of a window that is computed, or one per stage; None: any.
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
    def __init__(self, arch: str | dict = 'tiny', **swin: Any) -> None:
        super().__init__(arch, **swin)
        self.build()

    @classmethod
    def models(cls) -> dict[str, dict[str, Any]]:
        """Return the published models: every arch, and two for images of 384 x 384."""
        larger = {f'swin-{arch}-384': {'arch': arch, 'img_size': 384, 'window_size': 12} for arch in ('base', 'large')}
        return super().models() | larger

    @classmethod
    def read_options(cls, tensors: Mapping[str, Tensor]) -> Reading:
        """Read the options off a state dict; what no backbone before it in the list takes is taken for a Swin.

        A file does not tell ``img_size``: a position embedding does, else it is the smallest that clips no window.
        """
        return cls.read_windows(tensors, read_sizes(tensors, stem=False))
