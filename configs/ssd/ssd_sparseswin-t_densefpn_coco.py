_base_ = './ssd_sparseswin-t_none_coco.py'

maps = _base_.out_channels
model = dict(
    neck=dict(type='mmsparseswin.DenseFPN', in_channels=maps, out_channels=256),
    bbox_head=dict(in_channels=[256] * 6),
)
