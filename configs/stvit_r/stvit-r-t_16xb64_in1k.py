# Ours: no STViT-R-T was published.
_base_ = './stvit-r-s_16xb64_in1k.py'

model = dict(backbone=dict(arch='tiny', drop_path_rate=0.2))
