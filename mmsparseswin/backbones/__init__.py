"""Backbones, built from mmdet's and mmpretrain's registries alike."""

from mmsparseswin.backbones.sparse_swin import SparseSwin
from mmsparseswin.backbones.swin import Swin

__all__ = ['SparseSwin', 'Swin']
