"""Titled grids: what is saved holds every pixel of the grid as it was."""

import io

import numpy as np
import pytest
from PIL import Image

from npgan import show
from npgan.lesson import _png


@pytest.mark.parametrize("scale", [1, 2])
def test_a_title_and_names_leave_the_pixels_of_a_grid_as_they_are(rng, scale):
    grid = show.image_grid(rng.uniform(-1, 1, (6, 7, 9, 3)), 3, scale=scale)
    figure = show.titled(grid, "six images", rows=["above", "below"], columns=["a", "b", "c"])
    with Image.open(io.BytesIO(_png(figure))) as image:
        saved = np.asarray(image.convert("RGB"))
    windows = np.lib.stride_tricks.sliding_window_view(saved, grid.shape)[:, :, 0]
    assert (windows == grid).all(axis=(2, 3, 4)).sum() == 1  # at one place, all of it
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "six images"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["above", "below"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    across, height = axes.get_xticks(), grid.shape[0]
    assert np.allclose(np.diff(across), grid.shape[1] / 3) and np.allclose(
        axes.get_yticks()[0], height / 4 - 0.5
    )


@pytest.mark.parametrize("name", ["$x_{$", "a$b$c", "caf\udce9", "a\x1b[31m", "\\frac", "50 % _^"])
def test_a_name_is_shown_as_it_is_whatever_is_in_it(name):
    figure = show.titled(np.zeros((40, 40, 3), np.uint8), name, rows=[name, "b"], columns=[name])
    assert len(_png(figure)) > 500
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == 2 and labels[0].get_text().isprintable() and not labels[0].get_parse_math()
