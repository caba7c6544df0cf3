# 12 epochs of AdamW at batch 16. Norms and position tables do not decay.
max_epochs = 12
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]

# bfloat16 where the device has it, else float32; 'bfloat16' and 'float32' say so themselves. bfloat16 has float32's
# range: no loss scaling, and no overflow of Swin's activations as in float16.
optim_wrapper = dict(
    type='mmsparseswin.PrecisionOptimWrapper',
    precision='auto',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
        }
    ),
)

# 8 GPUs x 2 images; --auto-scale-lr scales the learning rate to the batch at hand.
auto_scale_lr = dict(enable=False, base_batch_size=16)
