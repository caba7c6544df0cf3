"""SparseSwin, STViT-R and Swin backbones for mmdet and mmpretrain."""

from mmsparseswin.backbones import SparseSwin, Swin

__version__ = '0.1.0'
__all__ = ['SparseSwin', 'Swin', '__version__']
