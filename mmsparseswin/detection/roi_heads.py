"""Run the linear layers of mmdet's box heads as oneDNN's primitives on CPUs where these are faster."""

from mmdet.models.roi_heads import CascadeRoIHead as MMDetCascadeRoIHead
from mmdet.models.roi_heads import StandardRoIHead as MMDetStandardRoIHead
from mmdet.utils import MultiConfig

from mmsparseswin.layers.fast_path import use_fast_linear
from mmsparseswin.registry import MODELS


class _FastBoxHeads:
    """Mixed into a RoI head: its box heads get fast linear layers; names and values of parameters stay."""

    def init_bbox_head(self, bbox_roi_extractor: MultiConfig, bbox_head: MultiConfig) -> None:
        """Build extractor and heads of the boxes."""
        super().init_bbox_head(bbox_roi_extractor, bbox_head)  # type: ignore[misc]
        use_fast_linear(self.bbox_head)  # type: ignore[attr-defined]


@MODELS.register_module()
class CascadeRoIHead(_FastBoxHeads, MMDetCascadeRoIHead):
    """mmdet's CascadeRoIHead with fast linear layers."""


@MODELS.register_module()
class StandardRoIHead(_FastBoxHeads, MMDetStandardRoIHead):
    """mmdet's StandardRoIHead with fast linear layers."""
