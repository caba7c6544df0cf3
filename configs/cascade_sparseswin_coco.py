# The main job: Cascade Mask R-CNN, SparseSwin-T, FPN, COCO instance segmentation, 36 epochs, 8 GPUs x 2 images.
#   tools/dist_train.sh configs/cascade_sparseswin_coco.py 8
_base_ = './sparseswin/cascade-mask-rcnn_sparseswin-t_fpn_ms-crop-3x_coco.py'
