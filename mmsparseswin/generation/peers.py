"""Networks of diffusers behind SwinUNet's call, to compare with."""

from typing import Any

from torch import Tensor, nn

from mmsparseswin.generation.library import diffusers
from mmsparseswin.registry import MODELS


@MODELS.register_module()
class DiffusersUNet(nn.Module):
    """diffusers' convolutional ``UNet2DModel``, with classes and one label more for none.

    Args:
        in_channels: channels of the picture.
        num_classes: classes.
        **options: of UNet2DModel, ``sample_size`` (side of the picture) among them.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, **options: Any) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        self.img_size = options['sample_size']
        channels = dict(in_channels=in_channels, out_channels=in_channels)
        self.network = diffusers().UNet2DModel(**channels, num_class_embeds=num_classes + 1, **options)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Pictures (B, C, H, W), times (B,), labels (B,) -> (B, C, H, W)."""
        return self.network(x, time, labels).sample
