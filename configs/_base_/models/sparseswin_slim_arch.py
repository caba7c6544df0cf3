# SparseSwin slim enough for two CPU cores. Detector and classifier share it, so that weights go from one to the other.
slim_arch = dict(
    embed_dims=48,
    depths=(2, 2, 2),
    num_heads=(2, 4, 8),
    num_tokens=49,
    token_dims=192,
    token_heads=8,
)
