# Cascade Mask R-CNN (arXiv 1906.09756) as mmdet has it, on SparseSwin-T.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

model = dict(
    # Passes on which part of a padded batch is image, so that padding does not change the tokens.
    data_preprocessor=dict(type='mmsparseswin.ValidAreaDetDataPreprocessor'),
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.SparseSwin',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        # ImageNet-1k weights of Swin-T, which SparseSwin stands on; its token stage has none and is drawn at random.
        # Any file that mmsparseswin.checkpoints knows will do, a classifier trained here before all.
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    # Boxes, their NMS and RoIAlign stay in float32 under bfloat16 training. RoIAlign and the box heads' linear layers
    # have fast paths on CPUs; elsewhere torchvision's RoIAlign runs, which gives the same numbers as mmcv's.
    rpn_head=dict(type='mmsparseswin.Float32RPNHead'),
    roi_head=dict(
        type='mmsparseswin.CascadeRoIHead',
        bbox_roi_extractor=dict(type='mmsparseswin.Float32RoIExtractor', roi_layer=dict(use_torchvision=True)),
        mask_roi_extractor=dict(type='mmsparseswin.Float32RoIExtractor', roi_layer=dict(use_torchvision=True)),
    ),
)
