# The main detector, slim enough for two CPU cores: tools/quickstart.sh trains it in minutes on the embedded data set.
_base_ = ['../_base_/models/cascade_mask_rcnn_sparseswin_fpn.py', '../_base_/default_runtime.py']

classes = ('disk', 'ring', 'square', 'triangle', 'star', 'crescent')
num_classes = len(classes)
width = 64  # channels of the pyramid and the heads (256 on COCO)
norm = dict(type='BN')  # learns fastest from scratch: without it mAP stays near 0.1 here

bbox_head = dict(
    type='ConvFCBBoxHead',
    num_shared_convs=2,
    num_shared_fcs=1,
    in_channels=width,
    conv_out_channels=width,
    fc_out_channels=256,
    roi_feat_size=7,
    num_classes=num_classes,
    reg_class_agnostic=True,
    norm_cfg=norm,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
)
coder = 'DeltaXYWHBBoxCoder'
rois = dict(type='RandomSampler', num=32, pos_fraction=0.33, neg_pos_ub=-1, add_gt_as_proposals=True)

model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=48,
            depths=(2, 2, 2),
            num_heads=(2, 4, 8),
            num_tokens=49,
            token_dims=192,
            token_heads=8,
        ),
        img_size=160,
        window_size=5,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
        init_cfg=None,  # from scratch
    ),
    neck=dict(in_channels=[48, 96, 192, 384], out_channels=width, num_outs=5, norm_cfg=norm),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[4]),  # objects of 16 to 100 pixels on strides 4 to 64
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width, finest_scale=28, roi_layer=dict(sampling_ratio=1)),
        mask_roi_extractor=dict(out_channels=width, finest_scale=28, roi_layer=dict(sampling_ratio=1)),
        bbox_head=[
            dict(**bbox_head, bbox_coder=dict(type=coder, target_means=[0.0] * 4, target_stds=stds))
            for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])
        ],
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width, num_classes=num_classes, norm_cfg=norm),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=300, max_per_img=100),
        rcnn=[
            dict(
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou, match_low_quality=False
                ),
                sampler=rois,
                mask_size=28,
                pos_weight=-1,
                debug=False,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=30)),
)

# --- data ---
data_root = 'data/shapes/'
load_image = dict(type='mmsparseswin.LoadImageFromFile')
train_pipeline = [
    load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='RandomFlip', prob=[0.25, 0.25], direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    load_image,
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=False),  # images without objects teach too
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,  # the backbone does not see padding, necks and heads do: one image at a time is exact
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmsparseswin.CocoMetric', ann_file=data_root + 'annotations/instances_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator

# --- schedule ---
max_epochs = 8
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)  # 2 processes x 4 images
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(max_keep_ckpts=2))
# Each process has batch norm statistics of its own: without this the saved model is not the one that was validated.
custom_hooks = [dict(type='SyncBuffersHook')]
