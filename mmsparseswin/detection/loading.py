"""Reading pictures that may be damaged, and saying which and how.

Of half a JPEG OpenCV's imdecode makes nothing, without a reason, and its imread a picture with a grey lower half.
"""

import io
import warnings

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as BaseLoadImageFromFile
from mmengine import fileio
from PIL import Image

from mmsparseswin.errors import InputError
from mmsparseswin.registry import TRANSFORMS

# Signature and end mark. A JPEG's mark cannot occur inside its data, where every 0xff is followed by 0x00.
_END_MARKS = ((b'\xff\xd8', b'\xff\xd9'), (b'\x89PNG', b'IEND'))
_TAIL = 512  # how many of the last bytes to search: some cameras write zeros behind the mark


def find_damage(data: bytes) -> str | None:
    """What is wrong with the bytes of a picture file, or None. Decodes only what no cheaper look can clear."""
    if not data:
        return 'the file is empty'
    if any(data.startswith(signature) and mark in data[-_TAIL:] for signature, mark in _END_MARKS):
        return None
    if data[:4] == b'RIFF' and len(data) >= 8 + int.from_bytes(data[4:8], 'little'):  # WebP says its length
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and others, one per decoder
        return str(error)
    return None


@TRANSFORMS.register_module()
class LoadImageFromFile(BaseLoadImageFromFile):
    """mmcv's transform, which also finds cut-off and unreadable pictures and names them.

    Args:
        skip_corrupt: warn and return None, so that training takes another image instead (a test run still stops: its
            scores would silently leave images out).
        **kwargs: as for :class:`mmcv.transforms.LoadImageFromFile`.
    """

    def __init__(self, *args, skip_corrupt: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skip_corrupt = skip_corrupt

    def transform(self, results: dict) -> dict | None:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8, BGR.

        Raises:
            InputError: the file is missing, cut off, or no picture.
        """
        path = results['img_path']
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError:
            if self.ignore_empty:
                return None
            raise InputError(
                f'image {path} is missing, though the annotation file lists it; check data_root and data_prefix'
            ) from None
        image = None
        damage = find_damage(data)
        if damage is None:
            image = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            self._refuse(path, damage or f'{self.imdecode_backend} cannot decode it')
            return None
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _refuse(self, path: str, damage: str) -> None:
        if not self.skip_corrupt:
            raise InputError(
                f'image {path} is corrupt: {damage}; replace it, or pass over such images in training by '
                f'skip_corrupt=True of {type(self).__name__}'
            )
        warnings.warn(f'skipping corrupt image {path}: {damage}', stacklevel=2)
