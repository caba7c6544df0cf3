# 65 epochs of SGD at batch 256 for the ResNets, as published: 2.6e-3 per 32 images, one epoch of warm-up, steps after
# 42 and 53 further epochs. Weights decay; biases and norms do not.
max_epochs = 65
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

lr = 2.6e-3 * 256 / 32  # 0.0208
param_scheduler = [
    dict(type='LinearLR', start_factor=8e-5 / lr, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[43, 54], gamma=0.1),
]

optim_wrapper = dict(
    type='OptimWrapper',  # float32; --amp for mixed precision
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=5e-4),
    constructor='mmsparseswin.DecayConstructor',
    clip_grad=dict(max_norm=5.0, norm_type=2),
)

# 4 GPUs x 64 images; --auto-scale-lr scales the learning rate to the batch at hand.
auto_scale_lr = dict(enable=False, base_batch_size=256)
