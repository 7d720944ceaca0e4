"""A strict double of CuPy: CuPy's names and CuPy's refusals, computed by NumPy.

It shows, on a machine without a GPU, that code written for both array libraries would run on CuPy::

    def test_dense_on_the_device(monkeypatch):
        cupy = strict_cupy.install(monkeypatch)            # from here on, `import cupy` gives the double
        x = cupy.ones((5, 3), dtype=cupy.float32)
        strict_cupy.counters.reset()
        with strict_cupy.forbid_float64():
            y = x @ x.T
        assert strict_cupy.counters.uploads == strict_cupy.counters.synchronisations == 0

The tables below hold every name and keyword argument there is; all else is an AttributeError or TypeError.
test_strict_cupy.py compares them with the real package where it is installed: a new line must be true of it.
Where CuPy is lax and the result is a trap, the double refuses: `np.exp(device_array)`, `cupy.sum(host_array)`
(CuPy answers with a host number), `add.at`, assignment between overlapping views or with repeated indices,
`a @= b` (CuPy would rebind a).

It cannot catch what only a GPU does: its rounding and order of summation, its speed, memory running out,
errors that surface later and elsewhere, strides other than NumPy's, what `fuse` cannot compile. For those,
run the tests on a GPU. It raises where CuPy silently wraps an index that is out of range.
"""

import contextlib
import importlib.machinery
import inspect
import operator
import sys
import types
from dataclasses import dataclass
from unittest import mock

import numpy as np

# The tables -------------------------------------------------------------------
# Names that share a signature, which is CuPy's: its parameter names, order and defaults. The letter says what
# may be passed: A a device array; S that or a scalar; N that, a scalar or None; L a list or tuple of A; I an
# index: a device array, an integer, or host integers, which are uploaded. No letter: anything but an array.

FUNCTIONS = """
empty zeros ones(shape, dtype=float, order="C")
full(shape, fill_value: S, dtype=None, order="C")
empty_like(prototype: A, dtype=None, order="K", subok=None, shape=None)
zeros_like ones_like(a: A, dtype=None, order="K", subok=None, shape=None)
full_like(a: A, fill_value: S, dtype=None, order="K", subok=None, shape=None)
arange(start, stop=None, step=1, dtype=None)
linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0)
eye(N, M=None, k=0, dtype=float, order="C")
identity(n, dtype=float)
tri(N, M=None, k=0, dtype=float)
tril triu(m: A, k=0)
diag(v: A, k=0)
indices(dimensions, dtype=int)
meshgrid(*xi: A, indexing="xy", sparse=False, copy=True)
copy(a: A, order="K")

where(condition: A, x: S = None, y: S = None)
clip(a: A, a_min: N, a_max: N, out: A = None)
nan_to_num(x: A, copy=True, nan=0.0, posinf=None, neginf=None)
round around(a: A, decimals=0, out: A = None)
isclose allclose(a: S, b: S, rtol=1e-05, atol=1e-08, equal_nan=False)
array_equal(a1: A, a2: A, equal_nan=False)
real imag(val: A)
copyto(dst: A, src: S, casting="same_kind", where: A = None)

sum prod mean(a: A, axis=None, dtype=None, out: A = None, keepdims=False)
var std(a: A, axis=None, dtype=None, out: A = None, ddof=0, keepdims=False)
max min amax amin any all(a: A, axis=None, out: A = None, keepdims=False)
argmax argmin(a: A, axis=None, *, out: A = None, keepdims=False)
median(a: A, axis=None, out: A = None, overwrite_input=False, keepdims=False)
average(a: A, axis=None, weights: A = None, returned=False, *, keepdims=False)
cumsum cumprod(a: A, axis=None, dtype=None, out: A = None)
count_nonzero(a: A, axis=None)
diff(a: A, n=1, axis=-1, prepend: S = None, append: S = None)
cov(a: A, y: A = None, rowvar=True, bias=False, ddof=None)

matmul(x1: A, x2: A, /, *, out: A = None, dtype=None, casting="same_kind")
dot outer(a: A, b: A, out: A = None)
vdot inner(a: A, b: A)
tensordot(a: A, b: A, axes=2)
einsum(subscripts, *operands: A, dtype=None, optimize=False)
trace(a: A, offset=0, axis1=0, axis2=1, dtype=None, out: A = None)
linalg.norm(x: A, ord=None, axis=None, keepdims=False)
linalg.inv linalg.cholesky(a: A)
linalg.solve(a: A, b: A)
linalg.qr(a: A, mode="reduced")
linalg.svd(a: A, full_matrices=True, compute_uv=True)
linalg.eigh(a: A, UPLO="L")
fft.fft2 fft.ifft2(a: A, s=None, axes=(-2, -1), norm=None)
fft.fftshift(x: A, axes=None)

reshape(a: A, newshape, order="C", *, copy=None)
ravel(a: A, order="C")
transpose(a: A, axes=None)
moveaxis(a: A, source, destination)
swapaxes(a: A, axis1, axis2)
expand_dims(a: A, axis)
squeeze flip(a: A, axis=None)
broadcast_to(array: A, shape)
broadcast_arrays(*args: A)
atleast_1d atleast_2d(*arys: A)
pad(array: A, pad_width, mode="constant", *, constant_values=0)
concatenate stack(tup: L, axis=0, out: A = None, *, dtype=None, casting="same_kind")
vstack hstack(tup: L, *, dtype=None, casting="same_kind")
split array_split(ary: A, indices_or_sections, axis=0)
tile(A: A, reps)
repeat(a: A, repeats, axis=None)
roll(a: A, shift, axis=None)
fliplr flipud(a: A)
rot90(a: A, k=1, axes=(0, 1))
lib.stride_tricks.as_strided(x: A, shape=None, strides=None)
lib.stride_tricks.sliding_window_view(x: A, window_shape, axis=None)

take(a: A, indices: I, axis=None, out: A = None)
take_along_axis(a: A, indices: A, axis)
sort argsort(a: A, axis=-1, kind=None)
searchsorted(a: A, v: A, side="left", sorter: A = None)
unravel_index(indices: A, dims, order="C")
nonzero flatnonzero argwhere(a: A)
unique(ar: A, return_index=False, return_inverse=False, return_counts=False)
bincount(x: A, weights: A = None, minlength=None)
histogram(x: A, bins=10, range=None, density=False)
"""

METHODS = """
sum mean(self: A, axis=None, dtype=None, out: A = None, keepdims=False)
prod cumsum(self: A, axis=None, dtype=None, out: A = None)
var std(self: A, axis=None, dtype=None, out: A = None, ddof=0, keepdims=False)
max min any all(self: A, axis=None, out: A = None, keepdims=False)
argmax argmin(self: A, axis=None, out: A = None, *, keepdims=False)
round(self: A, decimals=0, out: A = None)
clip(self: A, min: S = None, max: S = None, out: A = None)
dot(self: A, b: A, out: A = None)
reshape(self: A, *shape, order="C", copy=None)
transpose(self: A, *axes)
swapaxes(self: A, axis1, axis2)
squeeze(self: A, axis=None)
copy ravel flatten(self: A, order="C")
repeat(self: A, repeats, axis=None)
take(self: A, indices: I, axis=None, out: A = None)
sort argsort(self: A, axis=-1, kind=None)
nonzero conj(self: A)
astype(self: A, dtype, order="K", casting=None, subok=None, copy=True)
view(self: A, dtype=None)
fill(self: A, value: S)
"""

UNARY = """
negative positive abs absolute sign square sqrt cbrt reciprocal exp exp2 expm1 log log2 log10 log1p
sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh floor ceil trunc rint
isfinite isnan isinf signbit logical_not invert conj conjugate
"""

BINARY = """
add subtract multiply divide true_divide floor_divide remainder mod power float_power logaddexp arctan2 hypot
maximum minimum fmax fmin copysign heaviside equal not_equal less less_equal greater greater_equal
logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift
"""

UFUNC = {
    **dict.fromkeys(UNARY.split(), "x: S, /, out: A = None, *, casting='same_kind', dtype=None)"),
    **dict.fromkeys(BINARY.split(), "x1: S, x2: S, /, out: A = None, *, casting='same_kind', dtype=None)"),
}
REDUCE = "reduce(array: A, axis=0, dtype=None, out: A = None, keepdims=False)"  # of add and multiply alone

ATTRIBUTES = "dtype shape ndim size itemsize nbytes strides T mT real imag"  # of an array, no transfer

SAME_AS_NUMPY = """
newaxis pi e inf nan float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_
complex64 complex128 generic number integer floating inexact dtype finfo iinfo issubdtype isscalar
promote_types
"""

# The shape of the result, or a check inside, depends on the values: the host has to wait.
SYNCHRONISE = "nonzero flatnonzero argwhere unique bincount histogram unravel_index".split()

CUBLAS = ("matmul", "dot", "vdot", "inner", "tensordot", "einsum")  # what a missing libcublas breaks


# State ------------------------------------------------------------------------


@dataclass
class Counters:
    """Traffic between host and device since the last `reset()`."""

    uploads: int = 0  # copies of host data to the device: asarray, set, a host index
    upload_bytes: int = 0
    downloads: int = 0  # copies of whole arrays to the host: get, asnumpy, tolist, printing, pickling
    synchronisations: int = 0  # all that makes the host wait: downloads, float(), bool(), .item(), masks

    def reset(self) -> None:
        self.__init__()


counters = Counters()
_state = types.SimpleNamespace(devices=1, broken=(), float64_allowed=True, note=None)


class Float64Error(AssertionError):
    """Something in double precision (float64, complex128) reached the device under `forbid_float64()`."""


@contextlib.contextmanager
def forbid_float64():
    """Raise Float64Error at the line that makes, returns or takes anything in double precision."""
    before, _state.float64_allowed = _state.float64_allowed, False
    try:
        yield
    finally:
        _state.float64_allowed = before


@contextlib.contextmanager
def noted(note):
    """Call note(name, inputs, result, in_place) for all that the device is given to do, with the NumPy arrays
    behind it. name is a function's, or "assign". Views are noted too: results that share memory with an input.
    """
    before, _state.note = _state.note, note
    try:
        yield
    finally:
        _state.note = before


@contextlib.contextmanager
def as_cupy():
    """`import cupy` gives the double inside the block: for what is no test. Tests say `install`."""
    with mock.patch.dict(sys.modules, {**_modules, "cupyx": None}):
        yield cupy


def install(monkeypatch, *, devices=1, broken=(), importable=True):
    """Make `import cupy` give the double until the test ends, with fresh counters; return the double.

    devices=0         imports, but finds no device: getDeviceCount and every array raise CUDARuntimeError
    broken=CUBLAS     libcublas is missing: its functions, and `@`, raise ImportError
    broken=["add"]    libnvrtc is missing: the functions and operators of these names raise RuntimeError
    importable=False  `import cupy` raises ImportError, as where CuPy is not installed
    """
    monkeypatch.setattr(_state, "devices", devices)
    monkeypatch.setattr(_state, "broken", tuple(broken))
    for name, module in _modules.items():
        monkeypatch.setitem(sys.modules, name, module if importable else None)
    monkeypatch.setitem(sys.modules, "cupyx", None)  # never the real one beside the double
    counters.reset()
    return cupy


@contextlib.contextmanager
def installed(**options):
    """`install` as a context manager, for use without pytest's monkeypatch fixture."""
    import pytest

    with pytest.MonkeyPatch.context() as monkeypatch:
        yield install(monkeypatch, **options)


# Arguments in, results out ----------------------------------------------------


def _to_host(kind, value, what):
    """The NumPy value behind an argument, by its letter in the tables; TypeError if CuPy would refuse it."""
    if kind == "L" and isinstance(value, (list, tuple)):
        return [_to_host("A", item, what) for item in value]
    if isinstance(value, ndarray) and kind in ("A", "S", "N", "I"):
        return value._host
    if isinstance(value, (list, tuple, np.ndarray)) and kind == "I":
        return _upload(value)._host
    if isinstance(value, (bool, int, float, complex, np.generic)) and kind in ("S", "N", "I"):
        if isinstance(value, (np.float64, np.complex128)) and not _state.float64_allowed:
            raise Float64Error(f"{what}: {value!r} is an operand in double precision: use a Python float")
        return value
    if isinstance(value, (list, tuple)) and kind is None:
        return type(value)([_to_host(None, item, what) for item in value])
    if kind is None and not isinstance(value, (ndarray, np.ndarray)) or kind == "N" and value is None:
        return value
    raise TypeError(f"{what}: Unsupported type {type(value)}")


def _to_device(result):
    """NumPy's result as CuPy would give it: arrays on the device, 0-d ones where NumPy gives scalars."""
    if isinstance(result, (list, tuple)):
        return (list if isinstance(result, list) else tuple)(_to_device(item) for item in result)
    if _state.devices == 0:
        raise CUDARuntimeError(100)
    host = np.asarray(result)
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    if host.dtype in (np.float64, np.complex128) and not _state.float64_allowed:
        raise Float64Error(f"a {host.dtype} array of shape {host.shape} on the device")
    device = object.__new__(ndarray)
    object.__setattr__(device, "_host", host)
    return device


def _upload(value, dtype=None, order="K"):
    """Host data, counted and truly copied: what is written later on one side does not show on the other."""
    device = _to_device(np.array(value, dtype=dtype, order=order, copy=True))
    counters.uploads += 1
    counters.upload_bytes += device.nbytes
    return device


def _wait(device):
    counters.synchronisations += 1
    return device._host


def _download(device):
    counters.downloads += 1
    return _wait(device)


def _signatures(table):
    """The lines of a table as {name: inspect.Signature}."""
    found = {}
    for line in filter(None, table.splitlines()):
        names, parameters = line.split("(", 1)
        scope = {letter: letter for letter in "ASNLI"}
        exec(f"def function({parameters}: ...", scope)  # Python reads its own signatures best
        found.update(dict.fromkeys(names.split(), inspect.signature(scope["function"])))
    return found


def _guard(name, signature, compute):
    """`compute`, a function of NumPy, behind the signature that CuPy gives it."""

    def function(*args, **kwargs):
        bound = signature.bind(*args, **kwargs).arguments
        _refuse_broken(name)
        positional, keywords = [], {}
        for key, value in bound.items():
            parameter, what = signature.parameters[key], f"cupy.{name}, {key}"
            kind = None if parameter.annotation is parameter.empty else parameter.annotation
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += [_to_host(kind, item, what) for item in value]
            elif parameter.default is parameter.empty:
                positional.append(_to_host(kind, value, what))
            elif value is not None or parameter.default is not None:
                keywords[key] = _to_host(kind, value, what)
        counters.synchronisations += name in SYNCHRONISE or (name, len(bound)) == ("where", 1)
        with np.errstate(all="ignore"):  # a device divides by zero without a word
            result = compute(*positional, **keywords)
        if _state.note:
            inputs = [*positional, *(value for key, value in keywords.items() if key != "out")]
            _state.note(name, inputs, result, "out" in keywords)
        if bound.get("out") is not None:
            return bound["out"]
        return None if result is None else _to_device(result)

    function.__name__, function.__signature__ = name, signature
    return function


def _refuse_broken(name):
    if name in _state.broken and name in CUBLAS:
        raise ImportError("libcublas.so: cannot open shared object file: No such file or directory")
    if name in _state.broken:
        raise RuntimeError("CuPy failed to load libnvrtc.so: OSError: cannot open shared object file")


# The array --------------------------------------------------------------------


class ndarray:
    """An array "on the device": it holds a NumPy array and hides it from NumPy."""

    __slots__ = ("_host",)
    __hash__ = None
    __array_ufunc__ = None  # np.exp(d) is a TypeError; host_array + d comes to __radd__, which refuses it

    def __init__(self, shape, dtype=float):
        object.__setattr__(self, "_host", cupy.empty(shape, dtype)._host)

    def __setattr__(self, name, value):
        raise AttributeError(f"the double of cupy.ndarray does not let .{name} be set")

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was given a device array: call the one of its own module")

    def __imatmul__(self, other):
        raise TypeError("CuPy has no in-place @: `a @= b` would rebind a and leave the array as it was")

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        return _to_device(self._host[_index(key)])

    def __setitem__(self, key, value):
        host = _to_host("S", value, "an assigned value")
        key = _index(key)
        if any(isinstance(item, np.ndarray) for item in key):
            if not isinstance(value, ndarray):
                _upload(
                    value, self.dtype
                )  # scattered assignment reads its values from the device, even one scalar
            places = np.arange(self.size).reshape(self.shape)[key]
            if np.unique(places).size < places.size:
                raise ValueError("repeated indices in an assignment: a device keeps any one of the values")
        elif isinstance(value, ndarray):
            _refuse_overlap(self._host[key], host)
        if _state.note:
            _state.note("assign", [host], self._host[key], True)
        self._host[key] = host

    def item(self):
        return _wait(self).item()

    def get(self, stream=None, order="C", out=None, blocking=True):
        host = _download(self)
        if out is None:
            return host.copy(order)
        np.copyto(out, host, casting="no")
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or (arr.dtype, arr.shape) != (self.dtype, self.shape):
            raise TypeError("set: wants a NumPy array of the same dtype and shape")
        np.copyto(self._host, _upload(arr)._host)

    def tolist(self):
        return _download(self).tolist()

    def __reduce__(self):
        return cupy.asarray, (self.get(),)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    @property
    def flags(self):
        names = ("c_contiguous", "f_contiguous", "owndata")
        return types.SimpleNamespace(**{name: getattr(self._host.flags, name) for name in names})

    @property
    def device(self):
        return Device(0)


def _index(key):
    """The key as a tuple for NumPy. Host arrays and lists in it are uploaded; a mask makes the host wait."""
    items = []
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, (list, np.ndarray)):
            item = _upload(item, dtype=None if len(item) else int)
        if isinstance(item, ndarray):
            counters.synchronisations += item.dtype == bool  # to know how many are True
            item = item._host
        elif not (item is None or item is ... or isinstance(item, (int, np.integer, slice))):
            raise IndexError(f"Unsupported type {type(item)} as an index")
        items.append(item)
    if not any(item is ... or isinstance(item, np.ndarray) for item in items):
        items.append(...)  # so that NumPy gives a view, even of a single item
    return tuple(items)


def _refuse_overlap(target, source):
    """`a[1:] = a[:-1]` copies memory onto itself; `a[1:] += 1` assigns a view to itself, which is no copy."""
    same = (target.ctypes.data, target.strides) == (source.ctypes.data, source.strides)
    contiguous = target.flags.c_contiguous and source.flags.c_contiguous
    if contiguous and not same and np.may_share_memory(target, source):
        raise ValueError("assignment between overlapping views: copy the source first")


def _attribute(name):
    def get(self):
        value = getattr(self._host, name)
        return _to_device(value) if isinstance(value, np.ndarray) else value

    return property(get)


def _operator(name, *, swapped=False, in_place=False):
    def method(self, *other):
        operands = (*other, self) if swapped else (self, *other)
        return getattr(cupy, name)(*operands, **({"out": self} if in_place else {}))

    return method


def _on_the_host(function, fetch):
    """float(d), str(d)...: `function` of the values, which `fetch` brings and counts."""
    return lambda self, *args: function(fetch(self), *args)


_ARITHMETIC = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "mod": "remainder",
}
_ARITHMETIC |= {"floordiv": "floor_divide", "pow": "power"}
_ARITHMETIC |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
_COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_COMPARISONS |= {"eq": "equal", "ne": "not_equal"}
_SINGLE = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}

for _short, _name in (_ARITHMETIC | _COMPARISONS | _SINGLE | {"matmul": "matmul"}).items():
    setattr(ndarray, f"__{_short}__", _operator(_name))
for _short, _name in (_ARITHMETIC | {"matmul": "matmul"}).items():
    setattr(ndarray, f"__r{_short}__", _operator(_name, swapped=True))
for _short, _name in _ARITHMETIC.items():
    setattr(ndarray, f"__i{_short}__", _operator(_name, in_place=True))
for _function in (bool, int, float, complex):
    setattr(ndarray, f"__{_function.__name__}__", _on_the_host(_function, _wait))
for _function in (str, repr, format):
    setattr(ndarray, f"__{_function.__name__}__", _on_the_host(_function, _download))
for _name in ATTRIBUTES.split():
    setattr(ndarray, _name, _attribute(_name))
for _name, _signature in _signatures(METHODS).items():
    setattr(ndarray, _name, _guard(_name, _signature, getattr(np.ndarray, _name)))


# Functions that are more than a line of a table -------------------------------


class ufunc:
    """An elementwise function. Of the methods that NumPy's have, `reduce`, for add and multiply alone."""

    def __init__(self, name):
        signature = _signatures(f"{name}({UFUNC[name]}")[name]
        self.__name__, self._function = name, _guard(name, signature, getattr(np, name))
        if name in ("add", "multiply"):
            self.reduce = _guard(f"{name}.reduce", _signatures(REDUCE)["reduce"], getattr(np, name).reduce)

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def at(self, a, indices, b=None):
        raise TypeError(
            f"{self.__name__}.at: a device adds floats in an order that changes: add slices instead"
        )


def array(obj, dtype=None, copy=True, order="K"):
    if not isinstance(obj, ndarray):
        return _upload(obj, dtype, order)
    host = obj._host.astype(dtype or obj.dtype, order=order, copy=copy)
    return obj if host is obj._host else _to_device(host)


def asarray(a, dtype=None, order=None):
    return array(a, dtype, False, order or "K")


def ascontiguousarray(a, dtype=None):
    return array(a, dtype, False, "C")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(stream, order, out, blocking) if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(*args):
    return cupy if any(isinstance(arg, ndarray) for arg in args) else np


def result_type(*arrays_and_dtypes):
    return np.result_type(*(x._host if isinstance(x, ndarray) else x for x in arrays_and_dtypes))


def may_share_memory(a, b, max_work=None):
    return np.may_share_memory(a._host, b._host, max_work)


def fuse(*args, **kwargs):
    """The plain function, as a decorator with or without parentheses."""
    return args[0] if args and callable(args[0]) else lambda function: function


def _where(condition, **choices):
    return np.where(condition, *choices.values())  # takes no keywords


# Random numbers: the methods that CuPy has, and never NumPy's stream ----------


def _stream(seed):
    return np.random.default_rng(None if seed is None else [seed, 14])


def _drawn(values, dtype, out=None):
    device = _to_device(np.asarray(values, dtype))
    if out is None:
        return device
    out[...] = device
    return out


class Generator:
    def __init__(self, bit_generator):
        self._stream = bit_generator

    def random(self, size=None, dtype=np.float64, out=None):
        return _drawn(self._stream.random(size), dtype, out)

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return _drawn(self._stream.standard_normal(size), dtype, out)

    def uniform(self, low=0.0, high=1.0, size=None, dtype=np.float64):
        return _drawn(self._stream.uniform(low, high, size), dtype)

    def integers(self, low, high=None, size=None, dtype=np.int64, endpoint=False):
        return _drawn(self._stream.integers(low, high, size, endpoint=endpoint), dtype)


class RandomState:
    def __init__(self, seed=None):
        self._stream = _stream(seed)

    def random_sample(self, size=None, dtype=float):
        return _drawn(self._stream.random(size), dtype)

    def standard_normal(self, size=None, dtype=float):
        return _drawn(self._stream.standard_normal(size), dtype)

    def normal(self, loc=0.0, scale=1.0, size=None, dtype=float):
        return _drawn(self._stream.normal(loc, scale, size), dtype)

    def uniform(self, low=0.0, high=1.0, size=None, dtype=float):
        return _drawn(self._stream.uniform(low, high, size), dtype)

    def randint(self, low, high=None, size=None, dtype=int):
        return _drawn(self._stream.integers(low, high, size), dtype)

    def permutation(self, a):
        return _to_device(self._stream.permutation(_to_host("I", a, "permutation")))


# The device -------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__(
            "cudaErrorNoDevice: no CUDA-capable device is detected" if status == 100 else str(status)
        )


def getDeviceCount():
    if _state.devices == 0:
        raise CUDARuntimeError(100)
    return _state.devices


def getDeviceProperties(device):
    getDeviceCount()
    return {"name": b"strict double of a GPU", "totalGlobalMem": 0, "major": 9, "minor": 0}


def deviceSynchronize():
    getDeviceCount()
    counters.synchronisations += 1


def is_available():
    return _state.devices > 0


class Device:
    def __init__(self, device=None):
        getDeviceCount()
        self.id = device or 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        deviceSynchronize()


class Stream:
    def synchronize(self):
        deviceSynchronize()


Stream.null = Stream()


class Event:
    def record(self, stream=None):
        getDeviceCount()

    def synchronize(self):
        deviceSynchronize()


class MemoryPool:
    def used_bytes(self):
        return 0

    def total_bytes(self):
        return 0

    def free_all_blocks(self):
        pass


# The module -------------------------------------------------------------------

_modules = {}


def _module(name):
    if name not in _modules:
        _modules[name] = types.ModuleType(name, "Part of the strict double.")
        _modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(_module(parent), child, _modules[name])
    return _modules[name]


def _offer(path, value):
    parent, _, name = f"cupy.{path}".rpartition(".")
    setattr(_module(parent), name, value)


cupy = _module("cupy")
cupy.__version__ = "14.2.0"
for _path, _signature in _signatures(FUNCTIONS).items():
    _offer(_path, _guard(_path, _signature, _where if _path == "where" else operator.attrgetter(_path)(np)))
for _name in UFUNC:
    _offer(_name, ufunc(_name))
for _name in SAME_AS_NUMPY.split():
    _offer(_name, getattr(np, _name))
for _value in (array, asarray, ascontiguousarray, asnumpy, get_array_module, result_type, may_share_memory):
    _offer(_value.__name__, _value)
for _value in (ndarray, ufunc, fuse, is_available):
    _offer(_value.__name__, _value)
_offer("get_default_memory_pool", lambda: MemoryPool())

for _value in (Generator, RandomState):
    _offer(f"random.{_value.__name__}", _value)
_offer("random.default_rng", lambda seed=None: Generator(_stream(seed)))
for _name in "random_sample standard_normal normal uniform randint permutation".split():
    _offer(f"random.{_name}", getattr(RandomState(), _name))

for _value in (Device, Stream, Event, is_available):
    _offer(f"cuda.{_value.__name__}", _value)
_offer("cuda.get_current_stream", lambda device_id=-1: Stream.null)
_offer("cuda.get_elapsed_time", lambda start_event, end_event: 0.0)
for _value in (CUDARuntimeError, getDeviceCount, getDeviceProperties, deviceSynchronize):
    _offer(f"cuda.runtime.{_value.__name__}", _value)
