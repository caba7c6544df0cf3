# timm's Swin of the same shape under the same recipe and budget.
_base_ = './swinvit_cifar10-1h.py'

loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
model = dict(
    _delete_=True,
    type='TimmClassifier',
    model_name='swin_tiny_patch4_window7_224',
    img_size=32,
    patch_size=2,
    window_size=4,
    embed_dim=96,
    depths=(2, 6, 4),
    num_heads=(3, 6, 12),
    mlp_ratio=2.0,
    drop_path_rate=0.0,
    num_classes=10,
    loss=loss,
)
