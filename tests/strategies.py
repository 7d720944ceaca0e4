"""Hypothesis strategies. They draw shapes, geometry and a seed, never values: those NumPy draws from the seed."""

from hypothesis import settings
from hypothesis import strategies as st
from layer_table import Geometry

seeds = st.integers(0, 2**32 - 1)


def at_least(cases: int) -> settings:
    """So many drawn cases, or as many as the profile asks for where those are more."""
    return settings(max_examples=max(cases, settings().max_examples))


@st.composite
def geometries(draw) -> Geometry:
    """A geometry that is valid for Conv2D and for Conv2DTranspose, each axis with numbers of its own."""
    size, kernel, stride, padding, extra = zip(draw(axes()), draw(axes()))
    return Geometry(
        batch=draw(st.integers(1, 3)),
        size=size,
        in_channels=draw(st.integers(1, 3)),
        out_channels=draw(st.integers(2, 3)),
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        output_padding=extra,
    )


@st.composite
def axes(draw) -> tuple[int, int, int, int, int]:
    """(size, kernel, stride, padding, output_padding) of one axis, with room for at least one window."""
    kernel, stride, padding = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    extra = draw(st.integers(0, stride - 1))
    smallest = 1
    while smallest + 2 * padding < kernel or (smallest - 1) * stride - 2 * padding + kernel + extra < 1:
        smallest += 1
    return smallest + draw(st.integers(0, 3)), kernel, stride, padding, extra
