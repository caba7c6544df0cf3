"""SparseSwinDet: SparseSwin under a BiFPN and a RetinaNet head (docs/models/sparse_swin_det.md)."""
