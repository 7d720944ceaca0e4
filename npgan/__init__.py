"""npgan: image GANs from nothing but arrays, every layer written by hand and every gradient proved."""

__version__ = "0.1.0"
