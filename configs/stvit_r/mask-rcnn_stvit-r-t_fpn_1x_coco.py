_base_ = './mask-rcnn_stvit-r-s_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='tiny',
        drop_path_rate=0.1,
        # No STViT-R-T was published: Swin-T, whose attention starts the semantic blocks; the stem starts at random.
        init_cfg=dict(checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
    ),
)
