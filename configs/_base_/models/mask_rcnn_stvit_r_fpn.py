# Mask R-CNN as mmdet has it, on STViT-R-S.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    # Passes on which part of a padded batch is image, so that padding does not change the tokens.
    data_preprocessor=dict(type='mmsparseswin.ValidAreaDetDataPreprocessor'),
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.STViTR',
        arch='small',
        preset='det',
        masks='exact',
        drop_path_rate=0.2,
        out_indices=(0, 1, 2, 3),
        # The published ImageNet-1k classifier. A classifier trained here or a Swin of the same depths will do, too.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://huggingface.co/csncsn/STViT-R/resolve/main/STViT-R-Swin-S.pth',
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    # Boxes, their NMS and RoIAlign stay in float32 under bfloat16 training. RoIAlign and the box heads' linear layers
    # have fast paths on CPUs; elsewhere torchvision's RoIAlign runs, which gives the same numbers as mmcv's.
    rpn_head=dict(type='mmsparseswin.Float32RPNHead'),
    roi_head=dict(
        type='mmsparseswin.StandardRoIHead',
        bbox_roi_extractor=dict(type='mmsparseswin.Float32RoIExtractor', roi_layer=dict(use_torchvision=True)),
        mask_roi_extractor=dict(type='mmsparseswin.Float32RoIExtractor', roi_layer=dict(use_torchvision=True)),
    ),
)

# The stem's batch norm is not synchronised; its statistics are, before a model is saved or validated.
custom_hooks = [dict(type='SyncBuffersHook')]
