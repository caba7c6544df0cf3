# Cascade Mask R-CNN on Swin-L, sharded over the GPUs: each holds its part of weights, gradients and AdamW's state.
#   tools/dist_train.sh configs/swin/cascade-mask-rcnn_swin-l_fpn_fsdp-1x_coco.py 8
# A checkpoint is that of a plain model: tools/test.py takes it, in any number of processes.
_base_ = [
    '../_base_/models/cascade_mask_rcnn_sparseswin_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.Swin',
        arch='large',
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_large_patch4_window7_224_22k.pth',
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)

# One block is gathered at a time; pyramid and heads for the whole iteration.
strategy = dict(type='mmsparseswin.FSDPStrategy', shard=('SwinBlock',))
