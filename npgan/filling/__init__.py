"""Filling holes without training: the methods that a learned one has to beat.

Each takes images (N, H, W, C) in [-1, 1] and masks (N or 1, H, W, 1) with 1 = missing, NumPy arrays, and returns
repaired images of the same shape and dtype. Known pixels are returned bit for bit, and what stood in the hole is
never looked at. There is no chance in any of them: the same input gives the same output.

They stand for the traditional methods: copy and paste of templates (nearest_image_fill, patch_fill), segmentation
and recombination (segment_fill), feature-based filling (harmonic_fill carries colours on, biharmonic_fill slopes
too, guided_fill edges; in patch_fill, the order of the patches).
"""

from npgan.filling.biharmonic import biharmonic_fill
from npgan.filling.guided import guided_fill
from npgan.filling.harmonic import harmonic_fill
from npgan.filling.mean import mean_fill
from npgan.filling.nearest import nearest_image_fill
from npgan.filling.patch import patch_fill
from npgan.filling.segment import segment_fill

__all__ = [
    "biharmonic_fill",
    "guided_fill",
    "harmonic_fill",
    "mean_fill",
    "nearest_image_fill",
    "patch_fill",
    "segment_fill",
]
