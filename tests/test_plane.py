"""The plane: a discriminator's surface stands where its points are."""

import numpy as np
from matplotlib.figure import Figure

from npgan.layers import Dense, Sequential
from npgan.plane import EDGE, LATTICE, SIDE, draw_surface, probability


def discriminator(to_right, up):
    """Logit = to_right * x + up * y, no hidden layer."""
    layer = Dense(2, 1, rng=np.random.default_rng(0))
    layer.weight.value[...] = [[to_right], [up]]
    return Sequential([layer])


def test_probability_is_the_sigmoid_of_the_logit_and_leaves_no_memory():
    points = np.array([[0.0, 5.0], [np.log(3), 0.0]], np.float32)
    np.testing.assert_allclose(probability(discriminator(1, 0), points), [0.5, 0.75], rtol=1e-6)


def test_surface_rises_where_the_logit_does_in_the_picture_too():
    for to_right, up in ((9, 0), (0, 9), (3, -7)):
        axes = Figure().add_subplot()
        draw_surface(axes, probability(discriminator(to_right, up)), fake=LATTICE[:3], title="title")
        (image,) = axes.images
        assert image.origin == "lower" and image.get_extent() == [-EDGE, EDGE, -EDGE, EDGE]
        rows = np.asarray(image.get_array())  # the first row is the lowest
        assert rows.shape == (SIDE, SIDE)
        x, y = LATTICE.reshape(SIDE, SIDE, 2).transpose(2, 0, 1)
        np.testing.assert_allclose(rows, 1 / (1 + np.exp(-(to_right * x + up * y))), rtol=1e-4)
        assert (np.diff(y[:, 0]) > 0).all() and (np.diff(x[0]) > 0).all()
