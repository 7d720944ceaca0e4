"""Feature-based filling that carries slopes on: a thin plate of metal, bent to fit the picture around the hole."""

import numpy as np

from npgan.filling.least_energy import least_energy_fill
from npgan.filling.mean import known_somewhere
from npgan.masks import blend

LAPLACIAN = np.array([[0, 1, 0, 1, -4, 1, 0, 1, 0]], float)  # one stencil of 3 x 3, row by row


def biharmonic_fill(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Fill the hole with the surface of a thin plate that is bent as little as can be.

        (L L u)[p] = 0 for every missing pixel p,   (L u)[p] = sum over its neighbours q of (u[q] - u[p])

    with the known pixels as boundary values. It is what makes the sum of all (L u)^2 least, and the equation of
    scikit-image's `inpaint_biharmonic` (Damelin and Hoang 2018). `harmonic_fill` takes over the values at the rim
    of the hole; here the slopes go on too. In a wide hole they go too far: beyond any colour of the picture, so
    each channel is cut off at its least and its greatest known value, as in scikit-image.

    Images that share a mask share the work: their channels are solved for side by side.
    """
    missing = known_somewhere(images, masks)[..., 0]  # N, H, W
    if len(masks) == 1:
        n, h, w, c = images.shape
        channels = np.moveaxis(images, 0, 2).reshape(h, w, n * c)
        filled = np.moveaxis(thin_plate(channels, missing[0]).reshape(h, w, n, c), 2, 0)
    else:
        filled = np.stack([thin_plate(image, hole) for image, hole in zip(images, missing)])
    return blend(images, clip_to_known(filled, ~missing), masks)


def thin_plate(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The solution of the equation, wherever it leads: (H, W, C) and (H, W) -> float64 (H, W, C)."""
    return least_energy_fill(image, missing, LAPLACIAN)


def clip_to_known(filled: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Cut each channel of (..., H, W, C) off at its least and greatest value where `known` (..., H, W)."""
    known = known[..., None]
    least = np.where(known, filled, np.inf).min(axis=(-3, -2), keepdims=True)
    greatest = np.where(known, filled, -np.inf).max(axis=(-3, -2), keepdims=True)
    return np.clip(filled, least, greatest)
