"""Which array library: NumPy on the processor, or CuPy on a GPU. The only file that imports CuPy.

Arrays decide where code runs. A function asks `array_module(x)` for the library of its argument and computes
with that; nothing is copied between the two libraries unless `to_device` or `to_numpy` says so.
"""

import sys
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a numpy.ndarray or a cupy.ndarray
DEVICES = ("numpy", "cupy")
HOST = (np.ndarray, np.generic)  # NumPy's arrays and scalars
REMEDY = (
    "install CuPy for the driver's CUDA version, with pip install 'npgan[cuda13]' or 'npgan[cuda12]', "
    "or use --device numpy"
)


class DeviceError(RuntimeError):
    """The GPU was asked for and cannot be used; the message says why and what to do."""


class Status(NamedTuple):
    """Whether a GPU can be used, and one line that says why or why not."""

    usable: bool
    line: str


def array_module(*arrays: Array) -> ModuleType:
    """Return `numpy` or `cupy`, whichever all the arrays belong to.

    Raises TypeError for something that is no array, and for NumPy and CuPy arrays at once.
    """
    found: ModuleType | None = None
    for array in arrays:
        if isinstance(array, HOST):
            module: ModuleType = np
        else:  # an array of CuPy's can only exist once CuPy has been imported
            module = sys.modules.get("cupy")
            if module is None or not isinstance(array, module.ndarray):
                raise TypeError(f"wanted a NumPy or a CuPy array, got {type(array).__name__}")
        if found is not None and module is not found:
            raise TypeError(
                "NumPy and CuPy arrays in one computation: "
                + " and ".join(describe(a) for a in arrays)
                + "; move one of them with npgan.backend.to_device"
            )
        found = module
    if found is None:
        raise TypeError("array_module needs at least one array")
    return found


def device_of(array: Array) -> str:
    """Name the device of an array: "numpy" or "cupy"."""
    return "numpy" if array_module(array) is np else "cupy"


def describe(array: Array) -> str:
    """Say what an array is, for error messages: library, shape and dtype."""
    library = "CuPy" if array_module(array) is not np else "NumPy"
    return f"a {library} array of shape {tuple(array.shape)}, {array.dtype}"


def to_numpy(array: Array) -> np.ndarray:
    """Bring an array to NumPy (a copy from the GPU; the array itself where it is NumPy's already)."""
    xp = array_module(array)
    return np.asarray(array) if xp is np else xp.asnumpy(array)


def to_device(array: Array, device: str) -> Array:
    """Bring an array to `device`, "numpy" or "cupy" (the array itself where it is there already)."""
    if device not in DEVICES:
        raise ValueError(f"device must be one of {DEVICES}, got {device!r}")
    if device == "numpy":
        return to_numpy(array)
    import cupy

    return cupy.asarray(array)


def synchronize(device: str) -> None:
    """Wait until the GPU has done all that it was given. On "numpy" there is nothing to wait for."""
    if device == "cupy":
        import cupy

        cupy.cuda.get_current_stream().synchronize()


def take_gpu(place: int, processes: int) -> bool:
    """Use GPU number `place` of this machine from now on, one for each of so many processes on it.

    Where there are fewer GPUs, processes share them, and the answer is False.
    """
    import cupy
    from cupy.cuda import nccl  # CuPy does not bring it in by itself

    count = cupy.cuda.runtime.getDeviceCount()
    cupy.cuda.Device(place % count).use()
    return processes <= count and nccl.available


def nccl(size: int, rank: int) -> Any:
    """NCCL's communicator of `size` processes, of which this is number `rank`, each with a GPU of its own.

    MPI, which has started them, tells them of each other.
    """
    from cupyx.distributed import init_process_group

    return init_process_group(size, rank, backend="nccl", use_mpi=True)


def gpu_status() -> Status:
    """Find out whether CuPy can compute here: import it, count devices, run a tiny computation.

    Each of the three can fail alone: CuPy imports without a GPU, and finds a GPU without the CUDA libraries
    that it needs to compile and multiply.
    """
    try:
        import cupy
    except Exception as error:  # not only ImportError: a broken NumPy or driver fails in its own way
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return Status(False, "no GPU: CuPy is not installed")
        reason = _first_line(error.__cause__ or error)  # CuPy hangs a banner of its own around the cause
        return Status(False, f"no GPU: CuPy cannot be imported ({reason})")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return Status(False, f"no GPU: CuPy {cupy.__version__} finds no device ({_first_line(error)})")
    if count == 0:
        return Status(False, f"no GPU: CuPy {cupy.__version__} finds no device")
    try:
        ones = cupy.ones((4, 4), dtype=cupy.float32)
        right = float((ones @ ones + ones).sum()) == 80.0
    except Exception as error:
        return Status(False, f"no GPU: CuPy {cupy.__version__} cannot compute ({_first_line(error)})")
    if not right:
        return Status(False, f"no GPU: CuPy {cupy.__version__} computes wrong numbers")
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    name = name.decode() if isinstance(name, bytes) else str(name)
    return Status(True, f"GPU: {name}, CuPy {cupy.__version__}")


def choose_device(wanted: str = "auto") -> tuple[str, str]:
    """Turn --device into ("numpy" or "cupy", one line that says what is used and why).

    "auto" falls back to NumPy where the GPU cannot be used. Raises DeviceError where "cupy" was asked for by
    name and cannot be used, ValueError for another word.
    """
    if wanted == "numpy":
        return "numpy", f"device: NumPy {np.__version__}"
    if wanted not in ("cupy", "auto"):
        raise ValueError(f"device must be numpy, cupy or auto, got {wanted!r}")
    status = gpu_status()
    if status.usable:
        return "cupy", f"device: {status.line}"
    if wanted == "cupy":
        raise DeviceError(f"{status.line}; {REMEDY}")
    return "numpy", f"device: NumPy {np.__version__} ({status.line})"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
