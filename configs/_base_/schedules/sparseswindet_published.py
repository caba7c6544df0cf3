# SparseSwinDet's published recipe (docs/models/sparse_swin_det.md, 'Recipe'): Adam 1e-4 at batch 8, no decay, no
# warm-up, a tenth of the rate when the training loss has not fallen for more than three epochs, at most 500 epochs.
max_epochs = 500
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [dict(type='mmsparseswin.TrainLossPlateauLR', patience=3)]
optim_wrapper = dict(
    type='OptimWrapper',  # float32
    optimizer=dict(type='Adam', lr=1e-4),
    clip_grad=dict(max_norm=0.1),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)
# The rest of Swin-T gets no gradient, at which several processes would wait for ever.
find_unused_parameters = True
