# Cascade Mask R-CNN as STViT-R's authors trained it (docs/models/stvit_r.md, 'Detector recipe'), on STViT-R-S.
_base_ = './cascade_mask_rcnn_sparseswin_fpn.py'  # preprocessor, pyramid, float32 parts

# Four convolutions and one linear layer; boxes of each class, trained by the overlap of what they decode to.
box_head = dict(
    type='ConvFCBBoxHead',
    num_shared_convs=4,
    num_shared_fcs=1,
    conv_out_channels=256,
    fc_out_channels=1024,
    norm_cfg=dict(type='SyncBN', requires_grad=True),
    reg_class_agnostic=False,
    reg_decoded_bbox=True,
    loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.STViTR',
        arch='small',
        preset='det',
        # Padding is no image. Weights of the published detector want its own masks, which look at padding:
        #   --cfg-options model.backbone.masks=official model.data_preprocessor.type=DetDataPreprocessor
        masks='exact',
        drop_path_rate=0.2,
        out_indices=(0, 1, 2, 3),
        # The published ImageNet-1k classifier. A classifier trained here or a Swin of the same depths will do, too.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://huggingface.co/csncsn/STViT-R/resolve/main/STViT-R-Swin-S.pth',
        ),
    ),
    roi_head=dict(bbox_head=[dict(head, **box_head) for head in _base_.model.roi_head.bbox_head]),
)

# The stem's batch norm is not synchronised, as published; its statistics are, before a model is saved or validated.
custom_hooks = [dict(type='SyncBuffersHook')]
