"""SparseSwinDet as a detector of mmdet, with two faults of the published program as switches.

See docs/models/sparse_swin_det.md, 'Faults and their switches'.
"""

from typing import Any

from mmdet.models.detectors import SingleStageDetector
from torch import nn

from mmsparseswin.backbones.swin import Swin
from mmsparseswin.registry import MODELS


@MODELS.register_module()
class SparseSwinDet(SingleStageDetector):
    """mmdet's one-stage detector, with what the published program does beside it.

    Args:
        *args: as for mmdet's SingleStageDetector.
        redraw_convs: after all weights are initialised and loaded, draw those of every convolution anew but for the
            last ones of the head. This overwrites a pretrained patch embedding; biases stay.
        unused_stage: hold the rest of Swin-T, which never runs: the last patch merging, stage 4, norm and classifier,
            16,137,112 parameters. Several processes then need ``find_unused_parameters = True`` in the config.
        **kwargs: as for mmdet's SingleStageDetector.
    """

    def __init__(self, *args: Any, redraw_convs: bool = False, unused_stage: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.redraw_convs = redraw_convs
        if unused_stage:
            swin = Swin('tiny', out_indices=(3,))
            self.unused = nn.ModuleDict(dict(stage=swin.stages[3], norm=swin.norm3, head=nn.Linear(768, 1000)))

    def init_weights(self) -> None:
        """Initialise as the parts say, then draw convolutions anew if ``redraw_convs``."""
        super().init_weights()
        if not self.redraw_convs:
            return
        last = (self.bbox_head.retina_cls, self.bbox_head.retina_reg)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module not in last:
                # Variance 2 / (kernel cells * output channels), grouped or not.
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
