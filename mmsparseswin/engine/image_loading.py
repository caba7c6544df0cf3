"""Load images; name those that are damaged or of another size than their annotations say.

Of half a JPEG OpenCV's imdecode makes nothing, without a reason, and its imread a picture with a grey lower half.
"""

import warnings

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile as BaseLoadImageFromFile
from mmengine import fileio

from mmsparseswin.errors import InputError
from mmsparseswin.image_headers import find_damage, size_mismatch
from mmsparseswin.registry import TRANSFORMS

# mmcv turns a picture as its EXIF data says for the first of each pair, and leaves it as stored for the second.
_OTHER_WAY_UP = {'color': 'color_ignore_orientation', 'grayscale': 'grayscale_ignore_orientation'}
_OTHER_WAY_UP |= {stored: upright for upright, stored in _OTHER_WAY_UP.items()}


@TRANSFORMS.register_module()
class LoadImageFromFile(BaseLoadImageFromFile):
    """mmcv's transform, which also finds cut-off, unreadable and exchanged pictures and names them.

    A data set that knows its pictures' width and height decides whether one that is turned by its EXIF data is read
    upright or as stored: only one of both fits the boxes.

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
            InputError: the file is missing, cut off, no picture, or of another size than the annotations say.
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
            image = self._decode(data, self.color_type)
        if image is None:
            self._refuse(path, damage or f'{self.imdecode_backend} cannot decode it')
            return None
        said = results.get('height'), results.get('width')
        if None not in said and image.shape[:2] != said:
            image = self._decode_as_labelled(data, image, path, said)
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _decode(self, data: bytes, flag: str) -> np.ndarray | None:
        return mmcv.imfrombytes(data, flag=flag, backend=self.imdecode_backend)

    def _decode_as_labelled(self, data: bytes, image: np.ndarray, path: str, said: tuple) -> np.ndarray:
        flag = _OTHER_WAY_UP.get(self.color_type)
        other = self._decode(data, flag) if flag and image.shape[:2] == said[::-1] else None
        if other is None or other.shape[:2] != said:
            size = image.shape[1::-1]
            raise InputError(size_mismatch(path, size, said[::-1], 'the annotation file'))
        return other

    def _refuse(self, path: str, damage: str) -> None:
        if not self.skip_corrupt:
            raise InputError(
                f'image {path} is corrupt: {damage}; replace it, or pass over such images in training by '
                f'skip_corrupt=True of {type(self).__name__}'
            )
        warnings.warn(f'skipping corrupt image {path}: {damage}', stacklevel=2)
