"""The layers, each forward and backward by hand."""

from npgan.layers.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from npgan.layers.base import Layer, Parameter
from npgan.layers.batchnorm import BatchNormalization
from npgan.layers.conv import Conv2D, Conv2DTranspose
from npgan.layers.dense import Dense
from npgan.layers.join import Concatenate
from npgan.layers.sequential import Sequential
from npgan.layers.shape import Flatten, Reshape

__all__ = [
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "Parameter",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Tanh",
]
