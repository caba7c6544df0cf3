# Swin slim enough for two CPU cores, with windows in four stages, from scratch.
slim_backbone = dict(
    type='mmsparseswin.Swin',
    arch=dict(embed_dims=48, depths=(2, 2, 4, 2), num_heads=(3, 6, 12, 24)),
    mlp_ratio=4.0,
    drop_path_rate=0.0,
    out_indices=(0, 1, 2, 3),
)
