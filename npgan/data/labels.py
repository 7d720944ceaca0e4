"""The classes of images, as files of all kinds give them."""

import numpy as np

CLASSES = 1000  # more are no classes: a classifier has an output for each


def class_labels(
    values: np.ndarray, count: int, source: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """({"class": whole numbers (count,)}, no notes), or no labels and the note that says why `values` are none."""
    wrong = ""
    if values.shape not in ((count,), (count, 1)):
        wrong = f"shape {values.shape} does not fit {count:,} images"
    elif values.dtype.kind not in "iu":
        wrong = f"wanted whole numbers, got dtype {values.dtype}"
    elif values.min() < 0 or values.max() >= CLASSES:
        wrong = f"wanted classes from 0 to {CLASSES - 1}, got {values.min()} to {values.max()}"
    if wrong:
        return {}, (f"{source}: these labels are left out, {wrong}",)
    return {"class": values.reshape(-1).astype(int)}, ()
