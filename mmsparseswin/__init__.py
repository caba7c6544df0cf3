"""SparseSwin, STViT-R and Swin backbones for mmdet and mmpretrain."""

from mmsparseswin import mim
from mmsparseswin.backbones import SparseSwin, STViTR, Swin, create_model, list_models

__version__ = '0.1.0'
__all__ = ['STViTR', 'SparseSwin', 'Swin', '__version__', 'create_model', 'list_models']

mim.register_with_mmengine()
