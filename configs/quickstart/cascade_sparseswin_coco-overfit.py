# The slim detector on a few real images, evaluated on the very same: a check that it can learn them by heart.
#   python tools/dataset_tools/subset_coco.py data/coco/annotations/instances_train2017.json data/coco/first16.json
#   tools/dist_train.sh configs/quickstart/cascade_sparseswin_coco-overfit.py 2
_base_ = './cascade_sparseswin_shapes.py'

num_classes = 80
model = dict(
    roi_head=dict(
        bbox_head=[dict(head, num_classes=num_classes) for head in _base_.model.roi_head.bbox_head],
        mask_head=dict(num_classes=num_classes),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=150)),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=150), rcnn=dict(max_per_img=100)),
)

data_root = 'data/coco/'
ann_file = 'first16.json'
scale = (320, 320)
train_pipeline = [
    _base_.load_image,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, ann_file=ann_file, data_prefix=dict(img='train2017/'))
train_dataloader = dict(
    batch_size=2,
    # 25 passes over the images are one epoch.
    dataset=dict(type='RepeatDataset', times=25, dataset=dict(**dataset, pipeline=train_pipeline), _delete_=True),
)
val_dataloader = dict(dataset=dict(_delete_=True, **dataset, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
