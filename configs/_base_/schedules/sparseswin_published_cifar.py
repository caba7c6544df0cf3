# The same program on CIFAR: AdamW 5e-5, weight decay 0.01 on every parameter.
_base_ = './sparseswin_published.py'

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.01))
