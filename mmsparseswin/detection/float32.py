"""Run parts of mmdet's heads in float32 under bfloat16 training."""

import torch
from mmcv.ops import RoIAlign
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor

from mmsparseswin.layers.fast_path import choose
from mmsparseswin.layers.roi_align import roi_align
from mmsparseswin.registry import MODELS


class Float32Outputs:
    """Mixed into an anchor head of mmdet: its scores and deltas leave it in float32."""

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, anchors * classes, H, W) and deltas (B, 4 * anchors, H, W) of features (B, C, H, W)."""
        scores, deltas = super().forward_single(x)  # type: ignore[misc]
        return scores.float(), deltas.float()


@MODELS.register_module()
class Float32RPNHead(Float32Outputs, RPNHead):
    """mmdet's RPNHead with float32 outputs.

    Otherwise sigmoid, box decoding and the offsets that keep levels apart in NMS are computed in bfloat16 before any
    operator is called: high scores become equal and boxes move by pixels. Besides, mmcv's compiled NMS has no bfloat16
    kernel on a CPU; the operators of mmsparseswin.mmcv_ops have.
    """


@MODELS.register_module()
class Float32RoIExtractor(SingleRoIExtractor):
    """mmdet's SingleRoIExtractor, always in float32; on a CPU by our RoIAlign, on features in channels-last layout.

    mmdet casts boxes to the type of the features. bfloat16 has 8 bits of mantissa, so that a coordinate near 1000
    pixels would move by up to 2; and mmcv's compiled RoIAlign has no bfloat16 kernel, nor has torchvision's. The heads
    that follow autocast as usual. Ours gives the numbers of mmcv's and torchvision's RoIAlign in a tenth of the time.
    """

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Pool features (B, C, H, W) per level in boxes (n, 5) to (n, C, output size, output size), float32."""
        feats = tuple(f.float() for f in feats)
        ours = choose(feats[0]).cpu and all(type(m) is RoIAlign and m.pool_mode == 'avg' for m in self.roi_layers)
        if not ours:
            return super().forward(feats, rois, roi_scale_factor)
        levels = self.map_roi_levels(rois, len(feats))
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        pooled = feats[0].new_zeros(len(rois), *self.roi_layers[0].output_size, self.out_channels)
        for level, (features, layer) in enumerate(zip(feats, self.roi_layers, strict=True)):
            at = (levels == level).nonzero().flatten()
            # Levels without boxes run too: their features get the gradient 0, which distributed training waits for.
            cells = roi_align(
                features.contiguous(memory_format=torch.channels_last),
                rois[at],
                layer.output_size,
                layer.spatial_scale,
                layer.sampling_ratio,
                layer.aligned,
            )
            pooled.index_copy_(0, at, cells.permute(0, 2, 3, 1))
        return pooled.permute(0, 3, 1, 2)
