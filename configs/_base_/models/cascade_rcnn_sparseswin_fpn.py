# Cascade R-CNN on SparseSwin-T: the same without masks.
_base_ = './cascade_mask_rcnn_sparseswin_fpn.py'

model = dict(
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
