# Swin with the searched windows of S3 (arXiv 2111.14725), Swin's recipe and stochastic depth of that size.
_base_ = './swin-t_16xb64_in1k.py'

model = dict(backbone=dict(arch='s3-tiny', drop_path_rate=0.2))
