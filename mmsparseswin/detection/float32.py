"""Run parts of mmdet's heads in float32 under bfloat16 training."""

from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmsparseswin.registry import MODELS


@MODELS.register_module()
class Float32RPNHead(RPNHead):
    """mmdet's RPNHead with float32 outputs.

    Otherwise sigmoid, box decoding and the offsets that keep levels apart in NMS are computed in bfloat16 before any
    operator is called: high scores become equal and boxes move by pixels. Besides, mmcv's compiled NMS has no bfloat16
    kernel on a CPU; the operators of mmsparseswin.mmcv_ops have.
    """

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, anchors, H, W) and deltas (B, 4 * anchors, H, W) of features (B, C, H, W)."""
        scores, deltas = super().forward_single(x)
        return scores.float(), deltas.float()


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """mmdet's SingleRoIExtractor, always in float32.

    mmdet casts boxes to the type of the features. bfloat16 has 8 bits of mantissa, so that a coordinate near 1000
    pixels would move by up to 2; and mmcv's compiled RoIAlign has no bfloat16 kernel, nor has torchvision's. The heads
    that follow autocast as usual.
    """

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Pool features (B, C, H, W) per level in boxes (n, 5) to (n, C, output size, output size), float32."""
        return super().forward(tuple(f.float() for f in feats), rois, roi_scale_factor)
