# SparseSwinDet-T at 384 pixels as published, its faults included (docs/models/sparse_swin_det.md). What
# sparseswindet-mended.py changes, one setting per fault, is marked (fault).
side = 384
token_dims = 512

model = dict(
    type='mmsparseswin.SparseSwinDet',
    redraw_convs=True,  # (fault) the pretrained patch embedding is overwritten
    unused_stage=True,  # (fault) 16.1 million parameters that never run
    # (fault) Every image is padded to one square, with zeros after normalisation, and the padding reaches the tokens.
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=side,
    ),
    backbone=dict(
        type='mmsparseswin.SparseSwin',
        arch=dict(
            embed_dims=96,
            depths=(2, 2, 6),
            num_heads=(3, 6, 12),
            drop_path_rate=0.2,
            num_tokens=49,
            token_dims=token_dims,
            token_depth=4,
        ),
        img_size=side,
        token_to_map='mlp',  # (fault) levels 5 to 7 are made of tokens alone, without the image
        pos_encoding='sincos1d',
        token_qkv_bias=False,
        output_norm=False,
        out_indices=(1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
    ),
    neck=dict(
        type='mmsparseswin.BiFPN',
        in_channels=[192, 384, token_dims],
        out_channels=64,
        num_outs=5,
        repeats=2,
        # (fault) TensorFlow's momentum: in PyTorch, statistics of the last batch alone.
        norm_cfg=dict(type='BN', momentum=0.9997, eps=4e-5),
    ),
    bbox_head=dict(
        type='mmsparseswin.SparseSwinDetHead',
        num_classes=80,
        in_channels=64,
        feat_channels=64,
        stacked_convs=3,
        loss_per='image',  # (fault) images without objects teach nothing
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,  # (fault) sides of 32 to 813 pixels for images of 384
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64, 128],
            center_offset=0.5,
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        # The mean over the four numbers of each positive anchor: a quarter of RetinaNet's sum.
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9, loss_weight=0.25),
        init_cfg=dict(
            type='Kaiming',
            layer='Conv2d',
            mode='fan_out',
            distribution='normal',
            override=[
                dict(type='Constant', name='retina_cls', val=0.0, bias_prob=0.01),
                dict(type='Constant', name='retina_reg', val=0.0),
            ],
        ),
    ),
    train_cfg=dict(
        # (fault) An object that no anchor overlaps by half has none.
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.5,
            match_low_quality=False,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1_000_000,  # all
        score_thr=0.2,  # (fault) the published evaluation stops here
        min_bbox_size=0,
        # (fault) A cat suppresses the dog behind it. An anchor's lesser classes go with it: its best class is left.
        nms=dict(type='nms', iou_threshold=0.5, class_agnostic=True),
        max_per_img=1_000_000,  # (fault) no limit
    ),
)
