"""Small convolutional network that judges drawn digits."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmsparseswin.registry import MODELS


@MODELS.register_module()
class LeNet(BaseModule):
    """Two 5x5 convolutions with batch norm, ReLU and maximum of 2x2, then one hidden layer, for 28 x 28 grey pictures.

    Args:
        channels: of the two convolutions.
        hidden: channels of the hidden layer, the output.
    """

    def __init__(self, channels: tuple[int, int] = (16, 32), hidden: int = 84) -> None:
        super().__init__()
        first, second = channels
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, first, 5, bias=False), nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 5, bias=False), nn.BatchNorm2d(second), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * second, hidden), nn.ReLU()),
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(B, 1, 28, 28) -> ((B, hidden),)."""
        return (self.layers(x),)
