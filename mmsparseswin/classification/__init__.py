"""What needs mmpretrain: data sets for classifiers."""

from mmsparseswin.classification import cifar, imagenet100

__all__ = ['cifar', 'imagenet100']
