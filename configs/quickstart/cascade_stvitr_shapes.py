# The slim detector of the quickstart on STViT-R: one dumbbell unit, four windows of 5 x 5 at 160 pixels.
#   python tools/dataset_tools/draw_shapes.py data/shapes --images 1000 200 --size 160 --seed 0
#   tools/dist_train.sh configs/quickstart/cascade_stvitr_shapes.py 2
_base_ = './cascade_sparseswin_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmsparseswin.STViTR',
        arch=dict(embed_dims=48, depths=(2, 2, 6, 2), num_heads=(2, 4, 8, 16)),
        preset='det',
        img_size=160,
        window_size=5,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
    ),
)
