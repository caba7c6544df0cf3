# Digits by rectified flow, trained for so many minutes of one CPU thread; the rate rises and falls with the budget.
_base_ = './swinunet_mnist.py'

model = dict(
    process=dict(_delete_=True, type='mmsparseswin.RectifiedFlow'),
    sampler='flow-euler',
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(_delete_=True, type='mmsparseswin.CpuBudgetLoop', cpu_minutes=20)
param_scheduler = None
val_cfg = val_dataloader = val_evaluator = None  # evaluate afterwards, by tools/test.py
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=8))
