_base_ = './swin-t_16xb64_in1k.py'

model = dict(backbone=dict(arch='base'), head=dict(in_channels=1024))
