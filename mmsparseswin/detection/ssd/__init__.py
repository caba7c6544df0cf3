"""Build SSD: priors, six maps, head and augmentation (docs/models/ssd.md)."""
