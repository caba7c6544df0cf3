# Swin slim enough for two CPU cores, with windows in four stages.
slim_arch = dict(embed_dims=48, depths=(2, 2, 4, 2), num_heads=(3, 6, 12, 24))
