_base_ = './ssd_r50-a_none_coco.py'

maps = _base_.out_channels
model = dict(
    neck=dict(type='mmsparseswin.PAN', in_channels=maps, out_channels=256),
    bbox_head=dict(in_channels=[256] * 6),
)
