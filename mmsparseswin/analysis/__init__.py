"""Count FLOPs and record attention maps of a model."""

from mmsparseswin.analysis.attention_maps import Attention, record_attention, return_attention
from mmsparseswin.analysis.attention_views import attention_from, attention_received, rollout, stitch

__all__ = [
    'Attention',
    'attention_from',
    'attention_received',
    'record_attention',
    'return_attention',
    'rollout',
    'stitch',
]
