# Swin-T as the HSE project trained it (docs/models/swin.md, 'The HSE run of Swin-T'): the official recipe in
# float32 with weight decay on every parameter. Published there: 80.60 % top-1, 95.10 % top-5.
_base_ = './swin-t_16xb64_in1k.py'

train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4 * 1024 / 512, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=5.0),
)
