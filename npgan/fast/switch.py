"""Which form of a kernel runs: the plain one of npgan/layers, or the faster one of npgan/fast."""

import os
from collections.abc import Callable
from functools import wraps

import numpy as np

plain_everywhere = os.environ.get("NPGAN_PLAIN", "") not in ("", "0")


def faster(form: Callable) -> Callable[[Callable], Callable]:
    """Let `form` stand in for a plain kernel where its first argument is a NumPy array of float32 or float64.

    Both take the same arguments and return the same numbers up to rounding. The kernel's `plain` and `fast` are the
    two forms, to be compared and timed.
    """

    def decorate(plain: Callable) -> Callable:
        @wraps(plain)
        def kernel(x, *arguments, **settings):
            if type(x) is np.ndarray and x.dtype.itemsize >= 4 and not plain_everywhere:
                return form(x, *arguments, **settings)
            return plain(x, *arguments, **settings)

        kernel.plain, kernel.fast = plain, form
        return kernel

    return decorate
