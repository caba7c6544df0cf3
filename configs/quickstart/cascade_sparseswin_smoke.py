# The same detector, tiny and without randomness: trains and evaluates in seconds, for tests and for trying things out.
#   python tools/dataset_tools/draw_shapes.py data/shapes_smoke --images 8 4 --size 64
#   python tools/train.py configs/quickstart/cascade_sparseswin_smoke.py
_base_ = './cascade_sparseswin_shapes.py'

width = 16
# As many samples as there are candidates, so that nothing is drawn at random.
everything = dict(type='RandomSampler', num=100000, pos_fraction=1.0, neg_pos_ub=-1, add_gt_as_proposals=True)
small = dict(in_channels=width, conv_out_channels=width, num_shared_convs=1, fc_out_channels=32, norm_cfg=None)
model = dict(
    backbone=dict(
        arch=dict(
            embed_dims=16,
            depths=(1, 1, 1),
            num_heads=(1, 2, 4),
            num_tokens=9,
            token_dims=32,
            token_heads=4,
            token_depth=1,
        ),
        img_size=64,
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=width, norm_cfg=None),
    rpn_head=dict(in_channels=width, feat_channels=width),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=width),
        mask_roi_extractor=dict(out_channels=width),
        bbox_head=[dict(head, **small) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_convs=1, in_channels=width, conv_out_channels=width, norm_cfg=None),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(everything, add_gt_as_proposals=False, _delete_=True)),
        rpn_proposal=dict(nms_pre=40, max_per_img=12),
        rcnn=[dict(stage, sampler=everything) for stage in _base_.model.train_cfg.rcnn],
    ),
    test_cfg=dict(rpn=dict(nms_pre=40, max_per_img=12), rcnn=dict(score_thr=0.0, max_per_img=10)),
)

data_root = 'data/shapes_smoke/'
resize = dict(type='Resize', scale=(64, 64), keep_ratio=True)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    resize,
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    resize,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = dict(**loader, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=2, val_interval=2)
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
param_scheduler = []
default_hooks = dict(logger=dict(interval=1))
