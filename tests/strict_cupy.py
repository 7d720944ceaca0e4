"""A strict double of CuPy: CuPy's names and CuPy's refusals, computed by NumPy.

It shows, on a machine without a GPU, that code written for both array libraries would run on CuPy::

    def test_dense_on_the_device(monkeypatch):
        cupy = strict_cupy.install(monkeypatch)            # from here on, `import cupy` gives the double
        x = cupy.ones((5, 3), dtype=cupy.float32)
        strict_cupy.counters.reset()
        with strict_cupy.forbid_float64():
            y = x @ x.T
        assert strict_cupy.counters.uploads == strict_cupy.counters.synchronisations == 0

The tables below hold the names and keyword arguments that npgan uses, and those that its kernels may soon need.
All else is an AttributeError or a TypeError, although CuPy has much more. A further name costs one line, which must
be true of CuPy: test_strict_cupy.py compares the tables with the real package where it is installed.

Where CuPy is lax and the result is a trap, the double refuses: `np.exp(device_array)`, `cupy.sum(host_array)`
(CuPy answers with a host number), `add.at`, assignment between overlapping views or with repeated indices,
`a @= b` (CuPy would rebind a). It raises where CuPy silently wraps an index that is out of range.

It cannot catch what only a GPU does: its rounding and order of summation, its speed, memory running out, errors
that surface later and elsewhere, strides other than NumPy's. For those, run the tests on a GPU.
"""

import contextlib
import importlib.machinery
import inspect
import operator
import re
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
zeros_like ones_like(a: A, dtype=None, order="K", subok=None, shape=None)
arange(start, stop=None, step=1, dtype=None)

negative positive abs sign square sqrt exp expm1 log log1p tanh isfinite isnan invert(
    x: S, /, out: A = None, *, casting="same_kind", dtype=None)
add subtract multiply divide floor_divide remainder power maximum minimum
equal not_equal less less_equal greater greater_equal bitwise_and bitwise_or bitwise_xor(
    x1: S, x2: S, /, out: A = None, *, casting="same_kind", dtype=None)
where(condition: A, x: S = None, y: S = None)
clip(a: A, a_min: N, a_max: N, out: A = None)

sum mean(a: A, axis=None, dtype=None, out: A = None, keepdims=False)
var std(a: A, axis=None, dtype=None, out: A = None, ddof=0, keepdims=False)
max min(a: A, axis=None, out: A = None, keepdims=False)
argmax(a: A, axis=None, *, out: A = None, keepdims=False)

matmul(x1: A, x2: A, /, *, out: A = None, dtype=None, casting="same_kind")
dot outer(a: A, b: A, out: A = None)
einsum(subscripts, *operands: A, dtype=None, optimize=False)
linalg.norm(x: A, ord=None, axis=None, keepdims=False)

ravel(a: A, order="C")
broadcast_to(array: A, shape)
pad(array: A, pad_width, mode="constant", *, constant_values=0)
concatenate stack(tup: L, axis=0, out: A = None, *, dtype=None, casting="same_kind")
tile(A: A, reps)
repeat(a: A, repeats, axis=None)
lib.stride_tricks.as_strided(x: A, shape=None, strides=None)
take(a: A, indices: I, axis=None, out: A = None)
sort argsort(a: A, axis=-1, kind=None)
"""

METHODS = """
sum mean(self: A, axis=None, dtype=None, out: A = None, keepdims=False)
var std(self: A, axis=None, dtype=None, out: A = None, ddof=0, keepdims=False)
max min any all(self: A, axis=None, out: A = None, keepdims=False)
argmax argmin(self: A, axis=None, out: A = None, *, keepdims=False)
clip(self: A, min: S = None, max: S = None, out: A = None)
dot(self: A, b: A, out: A = None)
reshape(self: A, *shape, order="C", copy=None)
transpose(self: A, *axes)
copy ravel(self: A, order="C")
repeat(self: A, repeats, axis=None)
take(self: A, indices: I, axis=None, out: A = None)
sort argsort(self: A, axis=-1, kind=None)
astype(self: A, dtype, order="K", casting=None, subok=None, copy=True)
fill(self: A, value: S)
"""

# The function behind each operator. Arithmetic has three forms: `a + b`, `2 + a` and `a += b`.
ARITHMETIC = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power"}
ARITHMETIC |= {"floordiv": "floor_divide", "mod": "remainder"}
ARITHMETIC |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
COMPARISONS |= {"eq": "equal", "ne": "not_equal"}
SINGLE = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "invert"}

ATTRIBUTES = "dtype shape ndim size itemsize nbytes strides T"  # of an array, no transfer
SAME_AS_NUMPY = "newaxis float32 float64 int64 promote_types"
CUBLAS = ("matmul", "dot", "einsum")  # what a missing libcublas breaks


# State ------------------------------------------------------------------------


@dataclass
class Counters:
    """Traffic between host and device since the last `reset()`."""

    uploads: int = 0  # copies of host data to the device: asarray, a host index
    upload_bytes: int = 0
    downloads: int = 0  # copies of whole arrays to the host: get, asnumpy, tolist, printing, pickling
    synchronisations: int = 0  # all that makes the host wait: downloads, float(), bool(), .item(), masks

    def reset(self) -> None:
        self.__init__()


counters = Counters()
_state = types.SimpleNamespace(devices=1, broken=(), float64_allowed=True, note=None)


class Float64Error(AssertionError):
    """Something in double precision reached the device under `forbid_float64()`."""


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
    monkeypatch.setitem(sys.modules, "cupyx", None)  # nor is the real one seen beside the double
    counters.reset()
    return cupy


# Arguments in, results out ----------------------------------------------------


def _to_host(kind, value, what):
    """The NumPy value behind an argument, by its letter in the tables; TypeError if CuPy would refuse it."""
    if kind == "L" and isinstance(value, (list, tuple)):
        return [_to_host("A", item, what) for item in value]
    if isinstance(value, ndarray) and kind in ("A", "S", "N", "I"):
        return value._host
    if isinstance(value, (list, tuple, np.ndarray)) and kind == "I":
        return _upload(value)._host
    if isinstance(value, (bool, int, float, np.generic)) and kind in ("S", "N", "I"):
        if isinstance(value, np.float64) and not _state.float64_allowed:
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
    getDeviceCount()  # raises where there is none
    host = np.asarray(result)
    if host.dtype.kind not in "biuf":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    if host.dtype == np.float64 and not _state.float64_allowed:
        raise Float64Error(f"a float64 array of shape {host.shape} on the device")
    device = object.__new__(ndarray)
    object.__setattr__(device, "_host", host)
    return device


def _upload(value, dtype=None):
    """Host data, counted and truly copied: what is written later on one side does not show on the other."""
    device = _to_device(np.array(value, dtype=dtype))
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
    """The entries of a table, each up to a ")" at the end of a line, as {name: inspect.Signature}."""
    found = {}
    for names, parameters in re.findall(r"([^(]+)\((.*?)\)\n", table, re.DOTALL):
        scope = {letter: letter for letter in "ASNLI"}
        exec(f"def function({parameters}): ...", scope)  # Python reads its own signatures best
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
        counters.synchronisations += (name, len(bound)) == ("where", 1)  # how many are True?
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
                _upload(value, self.dtype)  # it reads its values from the device, even one scalar
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

    def get(self):
        return _download(self).copy()

    def tolist(self):
        return _download(self).tolist()

    def __reduce__(self):
        return cupy.asarray, (self.get(),)

    def __deepcopy__(self, memo):
        return self.copy()


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


for _short, _name in (ARITHMETIC | COMPARISONS | SINGLE | {"matmul": "matmul"}).items():
    setattr(ndarray, f"__{_short}__", _operator(_name))
for _short, _name in (ARITHMETIC | {"matmul": "matmul"}).items():
    setattr(ndarray, f"__r{_short}__", _operator(_name, swapped=True))
for _short, _name in ARITHMETIC.items():
    setattr(ndarray, f"__i{_short}__", _operator(_name, in_place=True))
for _function in (bool, int, float):
    setattr(ndarray, f"__{_function.__name__}__", _on_the_host(_function, _wait))
for _function in (str, repr, format):
    setattr(ndarray, f"__{_function.__name__}__", _on_the_host(_function, _download))
for _name in ATTRIBUTES.split():
    setattr(ndarray, _name, _attribute(_name))
for _name, _signature in _signatures(METHODS).items():
    setattr(ndarray, _name, _guard(_name, _signature, getattr(np.ndarray, _name)))


# Functions that are more than a line of a table -------------------------------


def asarray(a, dtype=None):
    if not isinstance(a, ndarray):
        return _upload(a, dtype)
    host = a._host.astype(a.dtype if dtype is None else dtype, copy=False)
    return a if host is a._host else _to_device(host)


def asnumpy(a):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def _at(a, indices, b=None):
    raise TypeError("ufunc.at: a device adds floats in an order that changes: add slices instead")


def _where(condition, **choices):
    return np.where(condition, *choices.values())  # takes no keywords


class Generator:
    """Random numbers: few of the methods of NumPy's Generator, and never its numbers."""

    def __init__(self, bit_generator):
        self._stream = bit_generator

    def standard_normal(self, size=None, dtype=np.float64):
        return _to_device(np.asarray(self._stream.standard_normal(size), dtype))


def default_rng(seed=None):
    return Generator(np.random.default_rng(None if seed is None else [seed, 14]))


# The device -------------------------------------------------------------------


class CUDARuntimeError(RuntimeError):
    pass


def getDeviceCount():
    if _state.devices == 0:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    return _state.devices


def getDeviceProperties(device):
    getDeviceCount()
    return {"name": b"strict double of a GPU"}


class Device:
    def __init__(self, device=None):
        if not 0 <= (device or 0) < getDeviceCount():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    def use(self):
        return self

    def synchronize(self):
        counters.synchronisations += 1


class Stream:
    def synchronize(self):
        getDeviceCount()
        counters.synchronisations += 1


def get_current_stream():
    return Stream()


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
    _numpy = operator.attrgetter(_path)(np)
    _function = _guard(_path, _signature, _where if _path == "where" else _numpy)
    if isinstance(_numpy, np.ufunc) and _numpy.signature is None:  # an elementwise one, unlike matmul
        _function.at = _at
    _offer(_path, _function)
for _name in SAME_AS_NUMPY.split():
    _offer(_name, getattr(np, _name))
for _value in (ndarray, asarray, asnumpy):
    _offer(_value.__name__, _value)
for _value in (Generator, default_rng):
    _offer(f"random.{_value.__name__}", _value)
for _value in (Device, Stream, get_current_stream):
    _offer(f"cuda.{_value.__name__}", _value)
_offer("cuda.nccl.available", True)
del cupy.cuda.nccl  # as in the package, where only `from cupy.cuda import nccl` brings it
for _value in (CUDARuntimeError, getDeviceCount, getDeviceProperties):
    _offer(f"cuda.runtime.{_value.__name__}", _value)
