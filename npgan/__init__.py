"""npgan: image GANs from nothing but arrays, every layer written by hand and every gradient proved."""

from npgan import processor

__version__ = "0.1.0"

processor.choose_kernels()
