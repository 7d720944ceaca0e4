"""The strict double of CuPy, itself under test: true to the real package, and sharp enough for mistakes."""

import copy
import inspect
import io
import math
import pickle
import re
import types

import numpy as np
import pytest
import strict_cupy
from strict_cupy import CUBLAS, CUDARuntimeError, Float64Error, counters, forbid_float64


@pytest.fixture
def cupy(monkeypatch):
    return strict_cupy.install(monkeypatch)


def numbers(xp):
    """A float32 array (3, 4) and its host copy, whatever xp is."""
    host = np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)
    return xp.asarray(host.copy()), host


def raises_nothing(function, *args):
    with np.errstate(all="ignore"):
        function(*args)


# True to the real package ------------------------------------------------------


@pytest.fixture(scope="module")
def wheel():
    reason = "compares the double with the real CuPy package, which is not installed"
    return pytest.importorskip("cupy", reason=reason, exc_type=ImportError)


def real_signature(function):
    """Of a Python function from inspect; of a compiled one from the first line of its docstring."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        line = function.__doc__.strip().splitlines()[0].replace("\\*", "*").replace("numpy.", "np.")
        text = re.sub(r" ->.*", "", line[line.index("(") :])
        text = re.sub(r"([(,] ?)(?:[A-Za-z_]+ )(?=[a-z])", r"\1", text)  # `int axis=-1` is `axis=-1`
        scope = {"np": np}
        exec(f"def function{text}: ...", scope)
        return inspect.signature(scope["function"])


def without_self(parameters):
    return [p for p in parameters.values() if p.name != "self"]


def assert_within(mine, real, source=""):
    """Every call that fits my signature fits the real one, and means the same."""
    theirs = without_self(real.parameters)
    kinds = {p.kind for p in theirs}
    for position, p in enumerate(without_self(mine.parameters)):
        if p.kind is p.VAR_POSITIONAL or p.kind is p.POSITIONAL_ONLY:
            assert p.VAR_POSITIONAL in kinds or theirs[position].kind is p.kind, f"{p} is not in {real}"
            continue
        match = {q.name: q for q in theirs}.get(p.name)
        if match is None and p.default is p.empty:
            assert p.VAR_POSITIONAL in kinds, f"{p.name} is not in {real}"
            continue
        if match is None:  # taken by **kwargs: then the body names it, in quotes
            assert p.VAR_KEYWORD in kinds, f"{p.name} is not in {real}"
            assert re.search(rf"""['"]{p.name}['"]""", source), f"{p.name} is not in the source of {real}"
            continue
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.VAR_POSITIONAL not in kinds:
            assert theirs[position].name == p.name, f"{p.name} has another place in {real}"
        if p.name not in ("order", "dtype"):  # None, "K" and "C" are the same to the double
            assert p.default == match.default, f"{p.name} has another default in {real}"


def look_up(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module


def offered(module, prefix=""):
    """(path, value) of all that the double offers."""
    for name, value in vars(module).items():
        if isinstance(value, types.ModuleType):
            yield from offered(value, f"{prefix}{name}.")
        elif not name.startswith("__"):
            yield prefix + name, value


def test_every_name_of_the_double_is_a_name_of_the_wheel(wheel):
    absent = []
    for path, value in offered(strict_cupy.cupy):
        try:
            real = look_up(wheel, path)
        except AttributeError:
            absent.append(path)
            continue
        if inspect.isclass(value) and value.__module__ == "strict_cupy":
            inside = [name for name in vars(value) if not name.startswith("_") and name != "at"]
            instance = getattr(real, "__dict__", {})
            absent += [f"{path}.{n}" for n in inside if not hasattr(real, n) and n not in instance]
    assert not absent


def test_every_signature_of_the_double_fits_the_wheel(wheel):
    wrong = []
    for path, value in offered(strict_cupy.cupy):
        if not (inspect.isfunction(value) or inspect.ismethod(value)) or path == "fuse":
            continue
        real = look_up(wheel, path)
        source = inspect.getsource(real) if inspect.isfunction(real) else real.__doc__
        try:
            assert_within(inspect.signature(value), real_signature(real), source)
        except AssertionError as error:
            wrong.append(f"{path}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", ["ndarray", "random.Generator", "random.RandomState", "cuda.Device"])
def test_every_method_of_the_double_fits_the_wheel(wheel, path):
    mine, real, wrong = look_up(strict_cupy.cupy, path), look_up(wheel, path), []
    for name, value in vars(mine).items():
        if not inspect.isfunction(value) or name.startswith("_"):
            continue
        try:
            assert_within(inspect.signature(value), real_signature(getattr(real, name)))
        except AssertionError as error:
            wrong.append(f"{path}.{name}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_ufunc_of_the_double_fits_the_wheel(wheel):
    for name in strict_cupy.UFUNC:
        real = getattr(wheel, name)
        assert type(real).__name__ == "ufunc" and real.nin == getattr(np, name).nin
        assert re.search(r"/, out=None, \\?\*, casting='same_kind', dtype=None", real.__doc__)
    assert_within(strict_cupy._signatures(strict_cupy.REDUCE)["reduce"], real_signature(wheel.add.reduce))


def test_numpy_computes_every_keyword_of_the_tables():
    for path, mine in strict_cupy._signatures(strict_cupy.FUNCTIONS).items():
        theirs = inspect.signature(look_up(np, path)).parameters
        optional = {p.name for p in mine.parameters.values() if p.default is not p.empty}
        assert path == "where" or optional <= set(theirs) or "kwargs" in theirs, path


def test_the_wheel_lacks_what_the_double_lacks(wheel):
    for name in ("errstate", "einsum_path", "block", "insert"):
        assert not hasattr(wheel, name) and not hasattr(strict_cupy.cupy, name)
    for name in ("normal", "permutation", "shuffle", "choice"):
        assert not hasattr(wheel.random.Generator, name)
    for name in ("__index__", "__imatmul__"):
        assert not hasattr(wheel.ndarray, name)


def test_special_methods_are_those_of_the_wheel(wheel):
    ours = {name for name in vars(strict_cupy.ndarray) if name not in ("_host", "__imatmul__")}
    assert not {name for name in ours if not hasattr(wheel.ndarray, name)}


# Planted mistakes --------------------------------------------------------------
# Each passes on NumPy: xp is the module, x an array of it, host a NumPy array. CuPy would raise, or worse.

REFUSED = {
    "np function of a device array": (TypeError, lambda xp, x, host: np.exp(x)),
    "np reduction of a device array": (TypeError, lambda xp, x, host: np.sum(x)),
    "np.concatenate of device arrays": (TypeError, lambda xp, x, host: np.concatenate([x, x])),
    "np.where of a device array": (TypeError, lambda xp, x, host: np.where(x > 0, x, 0)),
    "np.asarray of a device array": (TypeError, lambda xp, x, host: np.asarray(x)),
    "np.array of a list of device arrays": (TypeError, lambda xp, x, host: np.array([x, x])),
    "np.zeros_like of a device array": (TypeError, lambda xp, x, host: np.zeros_like(x)),
    "np.testing on a device array": (TypeError, lambda xp, x, host: np.testing.assert_allclose(x, x)),
    "np ufunc out= a device array": (TypeError, lambda xp, x, host: np.add(host, 1, out=x)),
    "device + host": (TypeError, lambda xp, x, host: x + host),
    "host + device": (TypeError, lambda xp, x, host: host + x),
    "host * device": (TypeError, lambda xp, x, host: host * x),
    "device @ host": (TypeError, lambda xp, x, host: x @ host.T),
    "host @ device": (TypeError, lambda xp, x, host: host.T @ x),
    "device += host": (TypeError, lambda xp, x, host: x.__iadd__(host)),
    "device == host": (TypeError, lambda xp, x, host: x == host),
    "device > host": (TypeError, lambda xp, x, host: x > host),
    "xp function of a host array": (TypeError, lambda xp, x, host: xp.exp(host)),
    "xp.sum of a host array": (TypeError, lambda xp, x, host: xp.sum(host)),
    "xp.sum of a list": (TypeError, lambda xp, x, host: xp.sum([1.0, 2.0])),
    "xp.maximum of a list": (TypeError, lambda xp, x, host: xp.maximum(x, [0.0, 0.0, 0.0, 0.0])),
    "xp.stack of host arrays": (TypeError, lambda xp, x, host: xp.stack([host, host])),
    "xp.concatenate, one of them host": (TypeError, lambda xp, x, host: xp.concatenate([x, host])),
    "xp.where with a host condition": (TypeError, lambda xp, x, host: xp.where(host > 0, x, 0.0)),
    "xp.matmul with a host array": (TypeError, lambda xp, x, host: xp.matmul(x, host.T)),
    "xp.take_along_axis with host indices": (
        TypeError,
        lambda xp, x, host: xp.take_along_axis(x, np.argsort(host, axis=1), 1),
    ),
    "device[...] = host": (TypeError, lambda xp, x, host: x.__setitem__(..., host)),
    "device[0] = list": (TypeError, lambda xp, x, host: x.__setitem__(0, [1.0, 2.0, 3.0, 4.0])),
    "host[...] = device": (TypeError, lambda xp, x, host: host.copy().__setitem__(..., x)),
    "host[device indices]": ((TypeError, IndexError), lambda xp, x, host: host[xp.argmin(x, axis=1)]),
    "ufunc where=": (TypeError, lambda xp, x, host: xp.exp(x, out=x.copy(), where=x > 0)),
    "reduction where=": (TypeError, lambda xp, x, host: xp.sum(x, where=x > 0)),
    "method where=": (TypeError, lambda xp, x, host: x.mean(where=x > 0)),
    "reduction initial=": (TypeError, lambda xp, x, host: xp.max(x, initial=0.0)),
    "einsum out=": (TypeError, lambda xp, x, host: xp.einsum("ij->ij", x, out=x.copy())),
    "einsum order=": (TypeError, lambda xp, x, host: xp.einsum("ij->ji", x, order="C")),
    "clip min= max=": (TypeError, lambda xp, x, host: xp.clip(x, min=0.0, max=1.0)),
    "take mode=": (TypeError, lambda xp, x, host: xp.take(x, 0, axis=0, mode="clip")),
    "zeros device=": (TypeError, lambda xp, x, host: xp.zeros(3, device=None or "cpu")),
    "var mean=": (TypeError, lambda xp, x, host: xp.var(x, mean=x.mean(keepdims=True))),
    "maximum.reduce": (AttributeError, lambda xp, x, host: xp.maximum.reduce(x)),
    "logical_and.reduce": (AttributeError, lambda xp, x, host: xp.logical_and.reduce(x > 0)),
    "add.accumulate": (AttributeError, lambda xp, x, host: xp.add.accumulate(x)),
    "add.at": (TypeError, lambda xp, x, host: xp.add.at(x, xp.asarray([0, 0]), 1.0)),
    "errstate": (AttributeError, lambda xp, x, host: xp.errstate(divide="ignore")),
    "einsum_path": (AttributeError, lambda xp, x, host: xp.einsum_path("ij,jk->ik", x, x.T)),
    "block": (AttributeError, lambda xp, x, host: xp.block([[x, x]])),
    "insert": (AttributeError, lambda xp, x, host: xp.insert(x, 0, 0.0, axis=0)),
    "testing": (AttributeError, lambda xp, x, host: xp.testing.assert_allclose(x, x)),
    "ndenumerate": (AttributeError, lambda xp, x, host: list(xp.ndenumerate(x))),
    "Generator.normal": (AttributeError, lambda xp, x, host: xp.random.default_rng(0).normal(size=3)),
    "Generator.permutation": (AttributeError, lambda xp, x, host: xp.random.default_rng(0).permutation(3)),
    "Generator.shuffle": (AttributeError, lambda xp, x, host: xp.random.default_rng(0).shuffle(x)),
    "Generator.choice": (AttributeError, lambda xp, x, host: xp.random.default_rng(0).choice(3)),
    "range(device scalar)": (TypeError, lambda xp, x, host: range(xp.argmax(x))),
    "list[device scalar]": (TypeError, lambda xp, x, host: list(range(12))[xp.argmax(x)]),
    "reshape to a device scalar": (TypeError, lambda xp, x, host: x.reshape(xp.count_nonzero(x > -9), 1)),
    "slice to a device scalar": (TypeError, lambda xp, x, host: x[: xp.argmax(x)]),
    "zeros of a device shape": (TypeError, lambda xp, x, host: xp.zeros(xp.argmax(x))),
    "axis a device scalar": (TypeError, lambda xp, x, host: x.sum(axis=xp.argmin(x))),
    "pad by host array": (TypeError, lambda xp, x, host: xp.pad(x, np.ones((2, 2), int))),
    "@=": (TypeError, lambda xp, x, host: xp.eye(3).__imatmul__(xp.eye(3))),
    "x[idx] = with repeats": (ValueError, lambda xp, x, host: x.__setitem__(xp.asarray([0, 0, 1]), 1.0)),
    "x[idx, jdx] += with repeats": (
        ValueError,
        lambda xp, x, host: x.__setitem__((xp.asarray([1, 1]), xp.asarray([2, 2])), xp.ones(2)),
    ),
    "overlapping views": (ValueError, lambda xp, x, host: x.__setitem__(slice(1, None), x[:-1])),
    "hash of an array's item": (TypeError, lambda xp, x, host: {x[0, 0]: 1}),
    "None as an operand": (TypeError, lambda xp, x, host: x.__eq__(None).any()),
    "setting .shape": (AttributeError, lambda xp, x, host: setattr(x, "note", 1) if xp is not np else None),
    "np.save of a device array": (TypeError, lambda xp, x, host: np.save(io.BytesIO(), x)),
    "dtype object": (ValueError, lambda xp, x, host: xp.asarray([None])),
    "method byteswap": (AttributeError, lambda xp, x, host: x.searchsorted and x.byteswap()),
    "flags.writeable": (AttributeError, lambda xp, x, host: x.flags.writeable),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistake_passes_on_numpy_and_is_refused_on_the_double(cupy, mistake):
    expected, snippet = REFUSED[mistake]
    raises_nothing(snippet, np, *numbers(np))
    with pytest.raises(expected):
        snippet(cupy, *numbers(cupy))


# What CuPy does without complaint, and should not do in a training step: counted.
COUNTED = {
    "float() of a loss": ("synchronisations", lambda xp, x, host: float(x.sum())),
    "int() of a position": ("synchronisations", lambda xp, x, host: int(xp.argmax(x))),
    "if on a device value": ("synchronisations", lambda xp, x, host: 1 if x.sum() > 0 else 0),
    "and between device values": ("synchronisations", lambda xp, x, host: x.sum() > 0 and x.min() < 0),
    "assert allclose": ("synchronisations", lambda xp, x, host: bool(xp.allclose(x, x))),
    ".item()": ("synchronisations", lambda xp, x, host: x.max().item()),
    "math.sqrt of a device scalar": ("synchronisations", lambda xp, x, host: math.sqrt(x.max())),
    "max(python, device)": ("synchronisations", lambda xp, x, host: max(0.0, x.sum())),
    "f-string": ("downloads", lambda xp, x, host: f"{x.mean():.3f}"),
    "print": ("downloads", lambda xp, x, host: str(x)),
    "tolist": ("downloads", lambda xp, x, host: x.tolist()),
    "get": ("downloads", lambda xp, x, host: x.get()),
    "asnumpy": ("downloads", lambda xp, x, host: xp.asnumpy(x)),
    "pickle": ("downloads", lambda xp, x, host: pickle.dumps(x)),
    "boolean mask": ("synchronisations", lambda xp, x, host: x[x > 0]),
    "masked assignment": ("synchronisations", lambda xp, x, host: x.__setitem__(x > 1, 0.0)),
    "masked in-place addition": ("synchronisations", lambda xp, x, host: x[x > 1].__iadd__(1)),
    "scalar to an index array": ("uploads", lambda xp, x, host: x.__setitem__(xp.arange(2), 0.0)),
    "nonzero": ("synchronisations", lambda xp, x, host: xp.nonzero(x)),
    "one-argument where": ("synchronisations", lambda xp, x, host: xp.where(x > 0)),
    "waiting for the device": ("synchronisations", lambda xp, x, host: xp.cuda.Device().synchronize()),
    "index by a host array": ("uploads", lambda xp, x, host: x[np.array([0, 2])]),
    "index by a list": ("uploads", lambda xp, x, host: x[[0, 2]]),
    "assignment at host indices": ("uploads", lambda xp, x, host: x.__setitem__(np.array([0, 2]), 0.0)),
    "take of a host array": ("uploads", lambda xp, x, host: xp.take(x, np.array([0, 2]), axis=0)),
    "asarray inside a step": ("uploads", lambda xp, x, host: x + xp.asarray(host)),
    "asarray of a number": ("uploads", lambda xp, x, host: x * xp.asarray(2.0)),
}


@pytest.mark.parametrize("mistake", COUNTED)
def test_mistake_is_counted(cupy, mistake):
    counter, snippet = COUNTED[mistake]
    x, host = numbers(cupy)
    counters.reset()
    assert vars(counters) == dict(uploads=0, upload_bytes=0, downloads=0, synchronisations=0)
    snippet(cupy, x, host)
    assert getattr(counters, counter) > 0


# Double precision, by which a float32 network becomes slow on a GPU.
WIDENED = {
    "a float64 scalar": lambda xp, x, host: x * np.float64(0.5),
    "a float64 scalar from the left": lambda xp, x, host: np.float64(0.5) * x,
    "np.sqrt of a Python number": lambda xp, x, host: x / np.sqrt(2.0),
    "a host mean": lambda xp, x, host: x - host.astype(np.float64).mean(),
    "zeros without dtype": lambda xp, x, host: xp.zeros(3),
    "ones without dtype, then product": lambda xp, x, host: x * xp.ones(4),
    "linspace": lambda xp, x, host: xp.linspace(0, 1, 4) + x,
    "arange of floats": lambda xp, x, host: xp.arange(0.0, 4.0),
    "upload of a float64 array": lambda xp, x, host: xp.asarray(host.astype(np.float64)),
    "upload of Python floats": lambda xp, x, host: xp.asarray([0.5, 0.25]),
    "mean of integers": lambda xp, x, host: xp.arange(4).mean(),
    "integers divided": lambda xp, x, host: xp.arange(4) / 2,
    "float32 times int64": lambda xp, x, host: x * xp.arange(4),
    "astype(float)": lambda xp, x, host: x.astype(float),
    "full with a float": lambda xp, x, host: xp.full(3, 0.5),
    "sum in float64": lambda xp, x, host: x.sum(dtype=xp.float64),
    "device noise": lambda xp, x, host: xp.random.default_rng(0).standard_normal(3),
    "xp.exp of a Python number": lambda xp, x, host: xp.exp(0.5) * x,
}


@pytest.mark.parametrize("mistake", WIDENED)
def test_mistake_widens_to_float64(cupy, mistake):
    x, host = numbers(cupy)
    assert WIDENED[mistake](cupy, x, host).dtype == np.float64
    with forbid_float64(), pytest.raises(Float64Error):
        WIDENED[mistake](cupy, x, host)


def test_float64_scalar_in_place_is_refused_though_the_result_is_float32(cupy):
    x, _ = numbers(cupy)
    x *= np.float64(0.5)
    assert x.dtype == np.float32
    with forbid_float64(), pytest.raises(Float64Error):
        x *= np.float64(0.5)


def test_device_random_numbers_are_not_those_of_numpy(cupy):
    ours = cupy.random.default_rng(7).standard_normal(5).get()
    assert not np.isclose(ours, np.random.default_rng(7).standard_normal(5)).any()
    assert np.array_equal(ours, cupy.random.default_rng(7).standard_normal(5).get())
    old = cupy.random.RandomState(7).normal(size=5).get()
    assert not np.isclose(old, np.random.RandomState(7).normal(size=5)).any()


def test_assignment_through_masks_and_views_lands_in_the_array(cupy):
    x, host = numbers(cupy)
    x[x > 1] = 0.0
    host[host > 1] = 0.0
    row = x[1]
    row += 1
    item = x[2, 0]
    item -= 5
    host[1] += 1
    host[2, 0] -= 5
    assert np.array_equal(x.get(), host)


def test_upload_does_not_alias_the_host(cupy):
    host = np.zeros(3, dtype=np.float32)
    x = cupy.asarray(host)
    host += 1
    assert x.get().sum() == 0
    x.get()[:] = 1
    assert x.get().sum() == 0
    assert counters.uploads == 1 and counters.upload_bytes == 12


# Legitimate uses: the same numbers and dtype as NumPy, and no traffic ----------

LEGITIMATE = {
    "elementwise": lambda xp, x: xp.exp(-x) + xp.log1p(x * x) - xp.tanh(x) / 2 + xp.abs(x) ** 0.5,
    "scalars on the left": lambda xp, x: 1 / (2 + x * x) - (3 - x) + 2 * x,
    "comparisons": lambda xp, x: (x >= 0) & ~(x > 1) | (x == 2) ^ (x != 0),
    "where": lambda xp, x: xp.where(x > 0, x, 0.2 * x),
    "where with a float32 scalar": lambda xp, x: xp.where(x > 0, x, np.float32(0)),
    "clip": lambda xp, x: xp.clip(x, 0.0, None) + x.clip(-1, 1),
    "in place": lambda xp, x: steps(x, "+= 1", "*= 2", "-= 0.5", "/= 3", "**= 2"),
    "in place on a view": lambda xp, x: steps(x, "[1:, ::2] += 1", "[0] *= 2", "[0, 0] -= 1"),
    "out=": lambda xp, x: xp.multiply(x, 2, out=xp.empty_like(x)),
    "reductions": lambda xp, x: x.sum(axis=0) + xp.mean(x, axis=0) + x.var(axis=0) + x.std(axis=0, ddof=1),
    "keepdims": lambda xp, x: x - x.max(axis=-1, keepdims=True) + xp.min(x, keepdims=True),
    "full reduction": lambda xp, x: x.sum() * x.mean() + xp.prod(x[0]),
    "any, all": lambda xp, x: xp.any(x > 1, axis=0) & (x > -2).all(axis=0),
    "argmax, count": lambda xp, x: x.argmax(axis=1) + xp.argmin(x, axis=1) + xp.count_nonzero(x > 0, axis=1),
    "cumsum": lambda xp, x: xp.cumsum(x, axis=1),
    "matmul": lambda xp, x: x @ x.T,
    "matmul out=": lambda xp, x: xp.matmul(x, x.T, out=xp.empty((3, 3), dtype=x.dtype)),
    "batched matmul": lambda xp, x: xp.matmul(x.reshape(3, 2, 2), x.reshape(3, 2, 2).transpose(0, 2, 1)),
    "dot, tensordot, einsum": lambda xp, x: (
        xp.dot(x, x.T) + xp.tensordot(x, x, axes=([1], [1])) + xp.einsum("ij,kj->ik", x, x, optimize=True)
    ),
    "norm": lambda xp, x: xp.linalg.norm(x) + xp.sqrt((x**2).sum()),
    "shapes": lambda xp, x: (
        xp.moveaxis(x.reshape(3, 2, -1), 0, -1).swapaxes(0, 1).squeeze()[None, ..., xp.newaxis]
    ),
    "pad": lambda xp, x: xp.pad(x, ((1, 1), (0, 2))) + xp.pad(x, ((1, 1), (0, 2)), constant_values=1),
    "pad reflect": lambda xp, x: xp.pad(x, 1, mode="reflect"),
    "joins": lambda xp, x: xp.concatenate([x, x[:1]], axis=0) @ xp.stack((x, x), axis=1)[0].T,
    "split": lambda xp, x: xp.split(x, 2, axis=1)[1] + xp.split(x, [1, 3], axis=1)[1],
    "copies": lambda xp, x: xp.tile(x, (2, 1))[:3] + xp.repeat(x, 2, axis=0)[:3] + xp.roll(x, 1, axis=1),
    "flips": lambda xp, x: x[:, ::-1] + xp.flip(x, axis=1) + xp.broadcast_to(x[0], x.shape),
    "windows": lambda xp, x: xp.lib.stride_tricks.sliding_window_view(x, (2, 2)).sum(axis=(2, 3)),
    "strided": lambda xp, x: xp.lib.stride_tricks.as_strided(x, (2, 2, 2, 3), x.strides * 2) * 1,
    "take": lambda xp, x: xp.take(x, xp.arange(2), axis=0) + x.take(0, axis=0),
    "take_along_axis": lambda xp, x: xp.take_along_axis(x, xp.argsort(-x, axis=1), 1) + xp.sort(x, axis=1),
    "index arrays": lambda xp, x: x[xp.arange(3), xp.argmax(x, axis=1)],
    "distinct index assignment": lambda xp, x: put(x, (xp.arange(2),), x[1:] * 1),
    "repeated index read": lambda xp, x: x[xp.zeros(5, dtype=xp.int64)],
    "shifted assignment of a copy": lambda xp, x: put(x, slice(1, None), x[:-1].copy()),
    "strided scatter": lambda xp, x: put(
        xp.zeros((5, 7), dtype=x.dtype), (slice(None, None, 2), slice(0, 7, 2)), x
    ),
    "kernel taps": lambda xp, x: steps(x, "[1:] += 1", "[:-1] += 2"),
    "creation": lambda xp, x: xp.full_like(x, 2) + xp.zeros(4, dtype=x.dtype) + xp.eye(3, 4, dtype=x.dtype),
    "ranges": lambda xp, x: xp.arange(4, dtype=xp.float32) * x + xp.linspace(0, 1, 4, dtype=xp.float32),
    "dtypes": lambda xp, x: ((x + 1) * 100).astype(xp.uint8).astype(xp.float32) / 255,
    "isfinite": lambda xp, x: xp.isfinite(x / (x > 0)) | xp.isnan(x),
    "add.reduce": lambda xp, x: xp.add.reduce(x, axis=1),
    "iteration": lambda xp, x: sum(row.sum() for row in x) + len(x),
    "0-d view": lambda xp, x: x[1, 2] + x[0, 0],
    "histogram of labels": lambda xp, x: xp.eye(3, dtype=x.dtype)[xp.arange(3) % 2],
    "fft": lambda xp, x: xp.abs(xp.fft.fftshift(xp.fft.fft2(x))),
    "deep copy": lambda xp, x: copy.deepcopy(x) + copy.copy(x),
    "meshgrid, indices": lambda xp, x: (
        xp.meshgrid(x[0], x[:, 0])[1] + xp.indices((3, 4)).sum(axis=0).astype("f")
    ),
}


def steps(x, *statements):
    """Statements that start with the array: `steps(x, "[0] += 1")`."""
    x = x.copy()
    for statement in statements:
        exec(f"x{statement}")
    return x


def put(x, key, value):
    x = x.copy()
    x[key] = value
    return x


@pytest.mark.parametrize("use", LEGITIMATE)
def test_legitimate_use_gives_the_numbers_of_numpy_without_traffic(cupy, use):
    with np.errstate(all="ignore"):
        expected = LEGITIMATE[use](np, numbers(np)[0])
    x, _ = numbers(cupy)
    counters.reset()
    result = LEGITIMATE[use](cupy, x)
    assert (
        isinstance(result, cupy.ndarray) and result.dtype == expected.dtype and result.shape == expected.shape
    )
    assert counters.uploads == counters.downloads == counters.synchronisations == 0
    np.testing.assert_array_equal(cupy.asnumpy(result), expected)


def test_legitimate_uses_on_a_real_device(wheel):
    if not wheel.is_available():
        pytest.skip("needs a GPU")
    for use, snippet in LEGITIMATE.items():
        with np.errstate(all="ignore"):
            expected = snippet(np, numbers(np)[0])
        result = snippet(wheel, numbers(wheel)[0])
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape), use
        np.testing.assert_allclose(wheel.asnumpy(result), expected, rtol=1e-4, atol=1e-5, err_msg=use)


# Installing it, and simulating what may be missing -----------------------------


def test_import_gives_the_double_and_only_until_the_end():
    with strict_cupy.installed() as double:
        import cupy
        import cupy.cuda.runtime
        from cupy.lib.stride_tricks import as_strided

        assert cupy is double and cupy.lib.stride_tricks.as_strided is as_strided
        assert isinstance(cupy.ones(2), cupy.ndarray) and not isinstance(cupy.ones(2), np.ndarray)
        assert cupy.get_array_module(cupy.ones(2), 1) is cupy and cupy.get_array_module(np.ones(2)) is np
        assert cupy.is_available() and cupy.cuda.is_available() and cupy.cuda.runtime.getDeviceCount() == 1
        assert isinstance(cupy.cuda.runtime.getDeviceProperties(0)["name"], bytes)
        cupy.cuda.Stream.null.synchronize()
        cupy.cuda.get_current_stream().synchronize()
        cupy.get_default_memory_pool().free_all_blocks()
        assert counters.synchronisations == 2
        assert cupy.fuse()(abs) is cupy.fuse(abs) is abs
        with pytest.raises(ImportError):
            import cupyx  # noqa: F401
    import sys

    assert sys.modules.get("cupy") is not double


def test_without_a_device(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, devices=0)
    assert not cupy.is_available()
    for call in (
        cupy.cuda.runtime.getDeviceCount,
        cupy.cuda.Device,
        lambda: cupy.zeros(3),
        lambda: cupy.asarray(1),
    ):
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
            call()
    assert issubclass(CUDARuntimeError, RuntimeError)
    assert cupy.asnumpy(np.ones(2)).sum() == 2


def test_without_cublas(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, broken=CUBLAS)
    x = cupy.ones((2, 2)) + 1
    for call in (lambda: x @ x, lambda: cupy.dot(x, x), lambda: x.dot(x), lambda: cupy.einsum("ij->ji", x)):
        with pytest.raises(ImportError, match="libcublas"):
            call()


def test_without_nvrtc(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, broken=["add", "sum"])
    x = cupy.ones((2, 2))
    for call in (lambda: x + x, lambda: x.sum(), lambda: cupy.sum(x)):
        with pytest.raises(RuntimeError, match="libnvrtc"):
            call()


def test_not_installed(monkeypatch):
    strict_cupy.install(monkeypatch, importable=False)
    with pytest.raises(ImportError):
        import cupy  # noqa: F401


def test_forbid_float64_ends_with_its_block(cupy):
    with pytest.raises(Float64Error), forbid_float64():
        cupy.zeros(3)
    assert cupy.zeros(3).dtype == np.float64
