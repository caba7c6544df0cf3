# The twin of configs/swin/cascade-mask-rcnn_swin-l_fpn_fsdp-1x_coco.py that trains in seconds, on two processes:
#   python tools/dataset_tools/draw_shapes.py data/shapes_smoke --images 8 4 --size 64
#   tools/dist_train.sh configs/quickstart/cascade_swin_fsdp-smoke.py 2
_base_ = './cascade_sparseswin_smoke.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.Swin',
        arch=dict(embed_dims=16, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8)),
        img_size=64,
        out_indices=(0, 1, 2, 3),
    ),
)

strategy = dict(type='mmsparseswin.FSDPStrategy', shard=('SwinBlock',))
