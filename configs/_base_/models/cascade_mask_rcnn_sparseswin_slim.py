# Cascade Mask R-CNN on SparseSwin, slim enough for two CPU cores: images of 160 pixels, six classes, from scratch.
_base_ = ['./cascade_mask_rcnn_sparseswin_fpn.py', './sparseswin_slim_arch.py']

num_classes = 6  # of the embedded data set
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
        arch=dict(_base_.slim_arch, _delete_=True),
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
