# SSD (arXiv 1512.02325) over six maps, as published in the Swin SSD comparison (configs/ssd/README.md).
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    bbox_head=dict(
        type='mmsparseswin.RelativeSSDHead',
        num_classes=80,
        box_loss_per='coordinate',  # as published; 'box' for the SSD paper's
        anchor_generator=dict(
            type='mmsparseswin.RelativeSSDAnchorGenerator',
            scales=[0.1, 0.2, 0.375, 0.55, 0.725, 0.9],
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
    ),
    train_cfg=dict(
        # Each prior takes its best object, from an IoU of 0.5; each object also gets its best prior.
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.0,
            gt_max_assign_all=False,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1_000_000,  # all: a prior has at most 19 classes above 0.05
        score_thr=0.05,
        min_bbox_size=0,
        nms=dict(type='nms', iou_threshold=0.45),
        max_per_img=200,
    ),
)
