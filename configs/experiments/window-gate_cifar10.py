# A slim Swin on CIFAR-10 at 32 pixels, patches of 2 and windows of 4: stages of 16, 4 and 1 windows.
# tools/experiments/window_gate.py trains it for so many minutes and leaves windows out (docs/sparsity.md).
_base_ = './swinvit_cifar10-1h.py'

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=48, depths=(2, 2, 2), num_heads=(3, 6, 12)),
        img_size=32,
        patch_size=2,
        window_size=4,
        mlp_ratio=2.0,
    ),
    head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
