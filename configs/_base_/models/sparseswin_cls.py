# SparseSwin-T as published: stages 1-3 from torchvision's ImageNet-1k weights of Swin-T, tokens and head at random with
# PyTorch's own initialisation, plain cross entropy.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmsparseswin.SparseSwin',
        arch='tiny',
        out_type='avg_featmap',
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/swin_t-704ceda3.pth'),
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        init_cfg=None,
    ),
)
