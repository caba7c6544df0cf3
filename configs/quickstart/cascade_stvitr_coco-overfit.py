# The slim STViT-R detector on a few real images, evaluated on the very same; see cascade_sparseswin_coco-overfit.py.
_base_ = './cascade_sparseswin_coco-overfit.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.STViTR',
        arch=dict(embed_dims=48, depths=(2, 2, 6, 2), num_heads=(2, 4, 8, 16)),
        preset='det',
        img_size=320,
        window_size=5,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
    ),
)
