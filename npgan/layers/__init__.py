"""The layers, each forward and backward by hand."""

from npgan.layers.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from npgan.layers.base import Layer, Parameter
from npgan.layers.batchnorm import BatchNormalization
from npgan.layers.conv import Conv2D, Conv2DTranspose
from npgan.layers.dense import Dense
from npgan.layers.embedding import Embedding
from npgan.layers.join import Add, Concatenate, Pack
from npgan.layers.norms import (
    EqualizedLearningRate,
    MinibatchStandardDeviation,
    PixelNormalization,
    SpectralNormalization,
)
from npgan.layers.resize import AveragePooling2D, UpSampling2D
from npgan.layers.sequential import Sequential
from npgan.layers.shape import Flatten, Reshape

__all__ = [
    "Add",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "Embedding",
    "EqualizedLearningRate",
    "Flatten",
    "Layer",
    "LeakyReLU",
    "MinibatchStandardDeviation",
    "Pack",
    "Parameter",
    "PixelNormalization",
    "ReLU",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "SpectralNormalization",
    "Tanh",
    "UpSampling2D",
]
