"""The kernels of npgan once more, as fast as NumPy computes them. Nothing here is needed to understand a GAN.

Each plain kernel in npgan/layers is code that follows from its formula. Where one has a faster form, a line above
it says so, and that form has the same signature:

    @faster(fast.correlate)
    def correlate(x, weight, stride, padding, bias=None): ...

The faster forms cut their work in pieces that fit the cache and share them among threads (parallel.py), multiply
in the shapes that BLAS is quickest at (products.py), and save products (winograd.py). They take NumPy arrays of
float32 or float64. All else runs the plain form: CuPy arrays, for a GPU wants one large product; float16; and
every array where the environment has NPGAN_PLAIN=1. Tests compare both forms, and lessons 3 to 5 time them.
"""

from npgan.fast.activations import leaky_relu, leaky_relu_gradient, tanh, tanh_gradient
from npgan.fast.adam import adam_step
from npgan.fast.convolution import correlate, correlate_adjoint, correlate_weight_gradient
from npgan.fast.normalization import input_gradient, moments, scale_and_shift, summed_gradients
from npgan.fast.parallel import blas_on_one_thread
from npgan.fast.products import channel_sums, matmul
from npgan.fast.switch import faster

__all__ = [
    "adam_step",
    "blas_on_one_thread",
    "channel_sums",
    "correlate",
    "correlate_adjoint",
    "correlate_weight_gradient",
    "faster",
    "input_gradient",
    "leaky_relu",
    "leaky_relu_gradient",
    "matmul",
    "moments",
    "scale_and_shift",
    "summed_gradients",
    "tanh",
    "tanh_gradient",
]
