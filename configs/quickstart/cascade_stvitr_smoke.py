# The smallest STViT-R detector, without randomness; see cascade_sparseswin_smoke.py.
_base_ = './cascade_sparseswin_smoke.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.STViTR',
        arch=dict(embed_dims=16, depths=(1, 1, 6, 1), num_heads=(1, 2, 4, 8)),
        preset='det',
        img_size=64,
        window_size=3,  # four windows on the 4 x 4 cells of stage 3
        tokens_per_window=2,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
    ),
)
