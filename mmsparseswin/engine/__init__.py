"""Parts that plug into mmengine's Runner."""

from mmsparseswin.engine.bfloat16 import Bfloat16OptimWrapper
from mmsparseswin.engine.checkpoint_guard import CheckpointGuardHook

__all__ = ['Bfloat16OptimWrapper', 'CheckpointGuardHook']
