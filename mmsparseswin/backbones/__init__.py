"""Backbones, built from mmdet's and mmpretrain's registries alike."""

from mmsparseswin.backbones.sparse_swin import SparseSwin
from mmsparseswin.backbones.stvit_r import STViTR
from mmsparseswin.backbones.swin import Swin
from mmsparseswin.backbones.zoo import create_model, list_models

__all__ = ['STViTR', 'SparseSwin', 'Swin', 'create_model', 'list_models']
