"""Looking into a model: attention maps."""

from mmsparseswin.analysis.attention_maps import (
    Attention,
    attention_from,
    attention_received,
    record_attention,
    return_attention,
    rollout,
    stitch,
)

__all__ = [
    'Attention',
    'attention_from',
    'attention_received',
    'record_attention',
    'return_attention',
    'rollout',
    'stitch',
]
