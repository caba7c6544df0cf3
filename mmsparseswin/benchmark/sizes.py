"""Name the size of a batch of images."""

from dataclasses import dataclass

from mmsparseswin.errors import InputError


@dataclass(frozen=True)
class Size:
    """Size of a batch of images.

    Attributes:
        batch: number of images.
        height: in pixels.
        width: in pixels.
    """

    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f'{self.batch}x{self.height}x{self.width}'

    @property
    def area(self) -> int:
        """Return the pixels of the whole batch."""
        return self.batch * self.height * self.width

    @classmethod
    def parse(cls, text: str) -> 'Size':
        """Parse '8x224x224' as 8 images of 224 x 224 pixels."""
        parts = text.split('x')
        if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
            raise InputError(f'size {text!r} is not of the form BATCHxHEIGHTxWIDTH, e.g. 8x224x224')
        return cls(*map(int, parts))
