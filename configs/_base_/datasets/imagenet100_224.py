# ImageNet100 with Swin's pipelines: data/imagenet100 holds train*/ and val*/ and the list of classes, Labels.json.
_base_ = './imagenet_224.py'

data_root = 'data/imagenet100'
data_preprocessor = dict(num_classes=100)
dataset = dict(type='mmsparseswin.ImageNet100', data_root=data_root, class_file='Labels.json')

train_dataloader = dict(
    batch_size=128, dataset=dict(**dataset, split='train', pipeline=_base_.train_pipeline, _delete_=True)
)
val_dataloader = dict(dataset=dict(**dataset, split='val', pipeline=_base_.test_pipeline, _delete_=True))
test_dataloader = val_dataloader
