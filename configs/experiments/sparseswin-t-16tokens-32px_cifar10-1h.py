# The same with no more tokens than the grid has places.
_base_ = './sparseswin-t-32px_cifar10-1h.py'

model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=96,
            depths=(2, 2, 6),
            num_heads=(3, 6, 12),
            num_tokens=16,
            token_dims=512,
            token_heads=16,
        )
    )
)
