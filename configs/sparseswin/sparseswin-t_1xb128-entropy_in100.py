# Ours with a penalty on the entropy of attention, which makes it sparser.
_base_ = './sparseswin-t_1xb128_in100.py'

penalty = dict(type='mmsparseswin.AttentionPenaltyHook', loss=dict(form='entropy', loss_weight=0.1))
custom_hooks = [*_base_.custom_hooks, penalty]
