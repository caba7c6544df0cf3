# The published L2 penalty with its larger weight. It favours uniform attention (docs/classification.md).
_base_ = './sparseswin-t_1xb128-published_in100.py'

penalty = dict(type='mmsparseswin.AttentionPenaltyHook', loss=dict(form='l2_sum', loss_weight=1e-4))
custom_hooks = [*_base_.custom_hooks, penalty]
