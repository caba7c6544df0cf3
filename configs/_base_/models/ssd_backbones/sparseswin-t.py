# SparseSwin-T: its maps of strides 8, 16 and 32, and three more. Ours.
_base_ = './swin-t.py'

model = dict(
    backbone=dict(
        # Built for the size it will see, so that the token layer needs no resizing; Swin's weights start it but for
        # the tokens.
        backbone=dict(type='mmsparseswin.SparseSwin', img_size=336)
    )
)
