"""What needs mmdet: detectors, necks, transforms and the embedded data set."""

from mmsparseswin.detection import (
    float32,
    merged_swin,
    metrics,
    necks,
    pyramid,
    ssd_augmentation,
    ssd_head,
    ssd_priors,
    valid_area,
)

__all__ = [
    'float32',
    'merged_swin',
    'metrics',
    'necks',
    'pyramid',
    'ssd_augmentation',
    'ssd_head',
    'ssd_priors',
    'valid_area',
]
