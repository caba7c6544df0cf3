_base_ = './ssd_stvit-r-s_none_coco.py'

maps = _base_.out_channels
model = dict(
    neck=dict(type='FPN', in_channels=maps, out_channels=256, num_outs=6, upsample_cfg=dict(mode='bilinear')),
    bbox_head=dict(in_channels=[256] * 6),
)
