# SparseSwinDet with its faults mended, each by one setting (docs/models/sparse_swin_det.md, 'Faults and their
# switches'). Images of any height and width; `side` is the size the token layer is built for.
_base_ = './sparseswindet.py'

model = dict(
    redraw_convs=False,
    unused_stage=False,
    # Tells the backbone what is image and what is padding of the batch.
    data_preprocessor=dict(type='mmsparseswin.ValidAreaDetDataPreprocessor', pad_size_divisor=1),
    backbone=dict(
        token_to_map='cross_attention',  # image queries: 768 channels
        output_norm=True,  # each level as large as the others
    ),
    neck=dict(in_channels=[192, 384, 768], norm_cfg=dict(momentum=0.1)),  # PyTorch's momentum
    bbox_head=dict(
        loss_per='batch',  # images without objects teach background
        anchor_generator=dict(octave_base_scale=2),  # sides of 16 to 406 pixels
    ),
    train_cfg=dict(assigner=dict(min_pos_iou=0.0, match_low_quality=True)),  # each object has an anchor
    test_cfg=dict(
        score_thr=0.05,
        nms=dict(class_agnostic=False),
        max_per_img=100,  # as COCO counts
    ),
)
