# 52 epochs of AdamW at batch 256 for the transformers, as published: 1e-4 per 32 images, two epochs of warm-up, steps
# after 32, 42 and 49 further epochs. As published, parameters with `norm` in their names and position tables do not
# decay; biases and the batch norms of auxiliary convolutions do.
max_epochs = 52
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

lr = 1e-4 * 256 / 32  # 8e-4
param_scheduler = [
    dict(type='LinearLR', start_factor=8e-8 / lr, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[34, 44, 51], gamma=0.1),
]

optim_wrapper = dict(
    type='OptimWrapper',  # float32; --amp for mixed precision
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
        }
    ),
    clip_grad=dict(max_norm=5.0, norm_type=2),
)

# 4 GPUs x 64 images; --auto-scale-lr scales the learning rate to the batch at hand.
auto_scale_lr = dict(enable=False, base_batch_size=256)
