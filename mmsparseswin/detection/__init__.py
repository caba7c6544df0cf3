"""What needs mmdet: detectors, necks, transforms and the embedded data set."""

from mmsparseswin.detection import float32, loading, metrics, valid_area

__all__ = ['float32', 'loading', 'metrics', 'valid_area']
