_base_ = './swin-t_16xb64_in1k.py'

model = dict(backbone=dict(arch='s3-small', drop_path_rate=0.3))
